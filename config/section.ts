/** Keys with values of any kind, sections among them. */
export type Section = Readonly<Record<string, unknown>>;

export function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What stands at `path`; undefined where nothing does. */
export function valueIn(section: Section, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, name) => (isSection(inner) ? inner[name] : undefined), section);
}

/** The section with `path` set; unchanged where something else than a section stands in the way of it. */
export function withValue(section: Section, [name = '', ...rest]: readonly string[], value: unknown): Section {
  if (rest.length === 0) return { ...section, [name]: value };
  const inner = section[name] ?? {};
  return isSection(inner) ? { ...section, [name]: withValue(inner, rest, value) } : section;
}

/** The section without `path`, and without anything that stands in the way of it. */
export function withoutValue(section: Section, [name = '', ...rest]: readonly string[]): Section {
  const { [name]: inner, ...others } = section;
  return rest.length > 0 && isSection(inner) ? { ...others, [name]: withoutValue(inner, rest) } : others;
}
