/** Every switch of the suite by name: what has no default that says "on" would otherwise not be tested. */
const API_SWITCHES = [
  'PING',
  'PULL',
  'PUSH',
  'BLOBS_ATOMIC',
  'BLOBS_DELETE',
  'BLOBS_DIGEST_HEADER',
  'BLOBS_MOUNT_ANONYMOUS',
  'BLOBS_UPLOAD_CANCEL',
  'MANIFESTS_ATOMIC',
  'MANIFESTS_DELETE',
  'MANIFESTS_DIGEST_HEADER',
  'MANIFESTS_TAG_PARAM',
  'TAGS_ATOMIC',
  'TAGS_DELETE',
  'TAGS_LIST',
  'REFERRER',
];

const DATA_SWITCHES = [
  'IMAGE',
  'INDEX',
  'INDEX_LIST',
  'ARTIFACT',
  'SUBJECT',
  'SUBJECT_MISSING',
  'ARTIFACT_LIST',
  'SUBJECT_LIST',
  'DATA_FIELD',
  'NONDISTRIBUTABLE',
  'CUSTOM_FIELDS',
  'NO_LAYERS',
  'EMPTY_BLOB',
  'SHA512',
];

/** The suite's variables with everything on; manifests whose content was not pushed only where `sparse` says so. */
export function allSwitches(sparse: boolean): Readonly<Record<string, string>> {
  const on = [...API_SWITCHES.map((name) => `OCI_API_${name}`), ...DATA_SWITCHES.map((name) => `OCI_DATA_${name}`)];
  return { ...Object.fromEntries(on.map((name) => [name, 'true'])), OCI_DATA_SPARSE: String(sparse) };
}

/** The paths of the switches that are off in a configuration as the suite reports it: `apis.tags.list`. */
export function switchesOff(value: unknown, path = ''): readonly string[] {
  if (value === false) return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => switchesOff(below, path === '' ? key : `${path}.${key}`));
}
