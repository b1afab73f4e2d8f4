import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';

/**
 * What a finding means for the answer to "is everything whole?":
 *
 * - `difference`: the tree and the index do not say the same, or bytes are wrong; a repair puts it right
 * - `lost`: bytes that an image needs are gone for good, unless somebody pushes them again; nobody gets wrong ones
 * - `note`: nothing is wrong with what is served
 */
export type Level = 'difference' | 'lost' | 'note';

interface Kind {
  readonly level: Level;
  readonly what: string;
  readonly users: string;
  readonly repair: string;
}

const NOT_SERVED = 'they get 404 for it, as if it were not there';
const PUSH_AGAIN = 'none: push it again, or delete what needs it';

/** All that can be found. Closed: what is not here, nobody looks for. */
export const KINDS = {
  'blob-missing': {
    level: 'difference',
    what: 'the index has a blob whose bytes are gone from the store',
    users: 'they get 404 for it',
    repair: 'it is marked as damaged in every repository that has it; the next push of it heals all of them',
  },
  'blob-corrupt': {
    level: 'difference',
    what: 'the stored bytes are not those of the digest',
    users: 'a pull of it ends with an error; one that was hashed within integrity.scrubEvery may go out unchecked',
    repair: 'the bytes are set aside in .meta/quarantine; the next push of it heals every repository that has it',
  },
  'blob-wrong-size': {
    level: 'difference',
    what: 'the stored bytes are right, the index has another size',
    users: 'they get 503 for it',
    repair: 'the index gets the right size',
  },
  'blob-unreadable': {
    level: 'lost',
    what: 'the stored bytes cannot be read',
    users: 'they get 503 for it',
    repair: 'none: look at the disk and at the rights of the file',
  },
  unreadable: {
    level: 'lost',
    what: 'a file or a directory of the tree, or what the index says of it, cannot be read',
    users: 'they get 503 for it, and for what lies below it',
    repair: 'none: look at the disk and at the rights of the file',
  },
  'blob-unknown': {
    level: 'difference',
    what: 'bytes in the store that the index does not know, such as those of a push that a crash broke off',
    users: 'nothing: nobody asks for them',
    repair: 'they get a row, and the collection removes them when nothing needs them',
  },
  'blob-healed': {
    level: 'difference',
    what: 'a blob that was damaged is whole in the store again',
    users: 'they get 404 for it',
    repair: 'it is served again',
  },
  'garbage-unqueued': {
    level: 'difference',
    what: 'nothing needs it, and the collection would never look at it',
    users: 'nothing: it takes space',
    repair: 'the collection looks at it',
  },
  quarantined: {
    level: 'lost',
    what: 'the bytes were found damaged or gone earlier',
    users: 'they get 404, which says so',
    repair: PUSH_AGAIN,
  },
  'quarantined-unneeded': {
    level: 'note',
    what: 'the bytes were found damaged or gone earlier, and no manifest needs them',
    users: 'they get 404, which says so',
    repair: 'none is needed: the collection forgets it',
  },
  'layer-link-broken': {
    level: 'difference',
    what: 'the link of a repository to a blob does not hold its digest',
    users: 'they get the blob until the next start, then 404; other servers fail',
    repair: 'the link is written anew where the blob is there, and removed where it is not',
  },
  'layer-link-unknown': {
    level: 'difference',
    what: 'the tree has a blob in a repository, the index has not',
    users: NOT_SERVED,
    repair: 'the index gets it',
  },
  'layer-row-without-link': {
    level: 'difference',
    what: 'the index has a blob in a repository, the tree has not',
    users: 'they get it until the next start, then 404',
    repair: 'the index forgets it there: the tree wins',
  },
  'layer-link-to-nothing': {
    level: 'note',
    what: 'a link to a blob that is not there and that no manifest here needs, as the collector of other servers leaves it',
    users: 'nothing',
    repair: 'none is needed',
  },
  'image-incomplete': {
    level: 'lost',
    what: 'an image needs blobs that its repository does not have',
    users: 'they get its manifest, and 404 for these blobs',
    repair: PUSH_AGAIN,
  },
  'manifest-missing': {
    level: 'difference',
    what: 'the store has lost the bytes of a manifest that the index knows',
    users: 'they get it as it was where the index keeps its bytes, else 404',
    repair:
      'the bytes are written anew where the index keeps them; else it is marked as damaged until it is pushed again',
  },
  'manifest-corrupt': {
    level: 'difference',
    what: 'the stored bytes of a manifest are not those of its digest',
    users: 'they get it as it was where the index keeps its bytes, else 404',
    repair: 'the bytes are set aside, and written anew where the index keeps them; else the next push heals it',
  },
  'manifest-lost': {
    level: 'lost',
    what: 'the tree links a manifest whose bytes are nowhere',
    users: 'they get 404 for it and its tags',
    repair: 'none: push it again; what it needs is unknown, so the collection waits until you release it',
  },
  'manifest-link-broken': {
    level: 'difference',
    what: 'the link of a repository to a manifest does not hold its digest',
    users: 'they get it until the next start, then 404; other servers fail',
    repair: 'the link is written anew',
  },
  'manifest-unknown-to-index': {
    level: 'difference',
    what: 'the tree has a manifest in a repository, the index has not',
    users: NOT_SERVED,
    repair: 'the index gets it',
  },
  'manifest-row-without-link': {
    level: 'difference',
    what: 'the index has a manifest in a repository, the tree has not',
    users: 'they get it until the next start, then 404',
    repair: 'the index forgets it: the tree wins',
  },
  'manifest-row-differs': {
    level: 'difference',
    what: 'the index says something else of a manifest than its bytes do',
    users: 'they get the right bytes or an error; the type, size or referrers may be wrong',
    repair: 'the index is made to say what the bytes say',
  },
  'edges-differ': {
    level: 'difference',
    what: 'the index does not know what a manifest needs',
    users: 'nothing yet, but the collection could remove what it needs',
    repair: 'the index is made to say what the bytes say',
  },
  'tag-link-broken': {
    level: 'difference',
    what: 'the link of a tag holds no digest',
    users: 'they get what it pointed to until the next start, then 404; other servers fail',
    repair: 'it is written anew where only one manifest can be meant; else the tag goes to the trash',
  },
  'link-padded': {
    level: 'difference',
    what: 'a link of a layer, a manifest or a tag has white space around its digest',
    users: 'nothing; other servers fail',
    repair: 'the link is written anew',
  },
  'tag-differs': {
    level: 'difference',
    what: 'a tag points to one manifest in the tree and to another in the index',
    users: 'they get the one of the index until the next start',
    repair: 'the index follows the tree',
  },
  'tag-unknown-to-index': {
    level: 'difference',
    what: 'the tree has a tag, the index has not',
    users: NOT_SERVED,
    repair: 'the index gets it',
  },
  'tag-row-without-link': {
    level: 'difference',
    what: 'the index has a tag, the tree has not',
    users: 'they get it until the next start, then 404',
    repair: 'the index forgets it: the tree wins',
  },
  'tag-to-nothing': {
    level: 'difference',
    what: 'a tag points to a manifest that the repository does not have',
    users: 'they get 404 for it',
    repair: 'the tag goes to the trash',
  },
  'repository-unknown': {
    level: 'difference',
    what: 'the tree has a repository that the index does not know',
    users: 'they get 404 for everything in it',
    repair: 'the index gets it with all that is in it',
  },
  'repository-row-without-tree': {
    level: 'difference',
    what: 'the index has a repository that is gone from the tree',
    users: 'they get its manifests until the next start, then 404',
    repair: 'the index forgets it: the tree wins',
  },
  'row-orphaned': {
    level: 'difference',
    what: 'rows of the index that belong to something which is not in it',
    users: 'nothing: they keep the collection from removing what nobody needs',
    repair: 'the rows are removed',
  },
  'counter-wrong': {
    level: 'difference',
    what: 'what is counted for quotas is not what the rows come to',
    users: 'a quota refuses pushes too early or too late',
    repair: 'it is counted anew',
  },
  'stage-orphan': {
    level: 'difference',
    what: 'bytes of an upload that no session knows any more',
    users: 'nothing: it takes space',
    repair: 'they are removed',
  },
  'foreign-file': {
    level: 'note',
    what: 'something in the tree that is not of a registry',
    users: 'nothing: it is passed over',
    repair: 'none: whose it is, nobody knows here',
  },
} as const satisfies Readonly<Record<string, Kind>>;

export type FindingKind = keyof typeof KINDS;

/** What a finding is about; `detail` says what is special about this one. */
export interface About {
  readonly repository?: RepositoryName;
  readonly digest?: Digest;
  readonly tag?: Tag;
  readonly path?: string;
  readonly detail?: string;
}

export interface Finding extends About {
  readonly kind: FindingKind;
  readonly isRepaired: boolean;
}
