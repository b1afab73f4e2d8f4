import type { IncomingMessage } from 'node:http';
import { crc32Of, Refusal, type FakeObject, type FakeObjects } from './objects.ts';

/** The requests that the fake knows, by AWS's names. */
export type Operation =
  | 'HeadBucket'
  | 'HeadObject'
  | 'GetObject'
  | 'PutObject'
  | 'CopyObject'
  | 'DeleteObject'
  | 'DeleteObjects'
  | 'ListObjectsV2'
  | 'ListMultipartUploads'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'ListParts'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload';

export interface Asked {
  readonly operation: Operation;
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface Answered {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

const LIST_MOST = 1000;

/** @throws Refusal for what it does not know */
export function operationOf(method: string, key: string, query: URLSearchParams, isCopy: boolean): Operation {
  if (key === '') {
    if (method === 'HEAD') return 'HeadBucket';
    if (method === 'GET') return query.has('uploads') ? 'ListMultipartUploads' : 'ListObjectsV2';
    if (method === 'POST' && query.has('delete')) return 'DeleteObjects';
  } else if (query.has('uploadId')) {
    const known = { GET: 'ListParts', POST: 'CompleteMultipartUpload', DELETE: 'AbortMultipartUpload' } as const;
    if (method === 'PUT') return isCopy ? 'UploadPartCopy' : 'UploadPart';
    if (method in known) return known[method as keyof typeof known];
  } else if (method === 'POST' && query.has('uploads')) return 'CreateMultipartUpload';
  else if (method === 'PUT') return isCopy ? 'CopyObject' : 'PutObject';
  else {
    const known = { HEAD: 'HeadObject', GET: 'GetObject', DELETE: 'DeleteObject' } as const;
    if (method in known) return known[method as keyof typeof known];
  }
  throw new Refusal(501, 'NotImplemented');
}

/** What each request does to the objects, and what is answered. */
export function answer(objects: FakeObjects, asked: Asked): Answered {
  return ANSWERS[asked.operation](objects, asked);
}

const ANSWERS: Readonly<Record<Operation, (objects: FakeObjects, asked: Asked) => Answered>> = {
  HeadBucket: () => ({ status: 200 }),
  HeadObject: (objects, { key }) => {
    const object = objects.get(key);
    return { status: 200, headers: { ...headersOf(object), 'Content-Length': String(object.bytes.length) } };
  },
  GetObject: (objects, { key, headers }) => part(matching(objects.get(key), headers['if-match']), headers.range),
  PutObject: (objects, { key, body }) => ({ status: 200, headers: { ETag: objects.put(key, body).etag } }),
  CopyObject: (objects, asked) => {
    const { etag } = objects.put(asked.key, source(objects, asked));
    return xml(`<CopyObjectResult><ETag>${escaped(etag)}</ETag></CopyObjectResult>`);
  },
  DeleteObject: (objects, { key }) => {
    objects.remove(key);
    return { status: 204 };
  },
  DeleteObjects: (objects, { body }) => {
    const keys = [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key = '']) => plain(key));
    if (keys.length > LIST_MOST) throw new Refusal(400, 'MalformedXML');
    for (const key of keys) objects.remove(key);
    return xml('<DeleteResult></DeleteResult>');
  },
  ListObjectsV2: (objects, asked) => listing(objects, asked),
  ListMultipartUploads: (objects, { query }) => {
    const uploads = objects
      .multiparts(query.get('prefix') ?? '')
      .map(
        ({ id, key, begunAt }) =>
          `<Upload><Key>${escaped(key)}</Key><UploadId>${id}</UploadId><Initiated>${begunAt.toISOString()}</Initiated></Upload>`,
      );
    return xml(
      `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${uploads.join('')}</ListMultipartUploadsResult>`,
    );
  },
  CreateMultipartUpload: (objects, { key, headers }) => {
    const isChecked = headers['x-amz-checksum-algorithm'] === 'CRC32';
    const id = objects.createUpload(key, isChecked);
    const answered = xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
    if (!isChecked) return answered;
    return { ...answered, headers: { ...answered.headers, 'x-amz-checksum-algorithm': 'CRC32' } };
  },
  UploadPart: (objects, { key, query, headers, body }) => {
    const checksum = headers['x-amz-checksum-crc32'] as string | undefined;
    const id = query.get('uploadId') ?? '';
    const { etag } = objects.putPart(key, id, Number(query.get('partNumber')), body, checksum);
    return { status: 200, headers: { ETag: etag } };
  },
  UploadPartCopy: (objects, asked) => {
    const { key, query } = asked;
    const bytes = source(objects, asked);
    const { etag } = objects.putPart(key, query.get('uploadId') ?? '', Number(query.get('partNumber')), bytes);
    return xml(`<CopyPartResult><ETag>${escaped(etag)}</ETag></CopyPartResult>`);
  },
  ListParts: (objects, { key, query, headers }) => {
    const id = query.get('uploadId') ?? '';
    // SeaweedFS does not say them.
    const isChecked = objects.isChecked(key, id) && headers['x-fake-unchecked'] === undefined;
    const parts = objects.parts(key, id).map(([number, { etag, bytes }]) => {
      const checksum = isChecked ? `<ChecksumCRC32>${crc32Of(bytes)}</ChecksumCRC32>` : '';
      return `<Part><PartNumber>${number}</PartNumber><ETag>${escaped(etag)}</ETag><Size>${bytes.length}</Size>${checksum}</Part>`;
    });
    return xml(`<ListPartsResult><IsTruncated>false</IsTruncated>${parts.join('')}</ListPartsResult>`);
  },
  CompleteMultipartUpload: (objects, { key, query, body }) => {
    const parts = [...body.toString().matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, text = '']) => ({
      number: Number(/<PartNumber>(\d+)</.exec(text)?.[1]),
      etag: plain(/<ETag>(.*?)</.exec(text)?.[1] ?? ''),
      checksum: /<ChecksumCRC32>(.*?)</.exec(text)?.[1],
    }));
    const { etag } = objects.complete(key, query.get('uploadId') ?? '', parts);
    return xml(`<CompleteMultipartUploadResult><ETag>${escaped(etag)}</ETag></CompleteMultipartUploadResult>`);
  },
  AbortMultipartUpload: (objects, { key, query }) => {
    objects.abort(key, query.get('uploadId') ?? '');
    return { status: 204 };
  },
};

export function refused({ status, code, message }: Refusal): Answered {
  return { ...xml(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`), status };
}

function part(object: FakeObject, range: string | undefined): Answered {
  const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  if (start === undefined) return { status: 200, headers: headersOf(object), body: object.bytes };
  const size = object.bytes.length;
  if (Number(start) >= size) throw new Refusal(416, 'InvalidRange');
  const last = Math.min(Number(end || size), size - 1);
  const headers = { ...headersOf(object), 'Content-Range': `bytes ${start}-${last}/${size}` };
  return { status: 206, headers, body: object.bytes.subarray(Number(start), last + 1) };
}

function matching(object: FakeObject, etag: string | string[] | undefined): FakeObject {
  if (etag !== undefined && etag !== object.etag) throw new Refusal(412, 'PreconditionFailed');
  return object;
}

function source(objects: FakeObjects, { bucket, headers }: Asked): Buffer {
  const from = decodeURIComponent(String(headers['x-amz-copy-source'])).replace(/^\//, '');
  const { bytes } = matching(objects.get(from.slice(bucket.length + 1)), headers['x-amz-copy-source-if-match']);
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-amz-copy-source-range'] ?? '')) ?? [];
  return start === undefined ? bytes : bytes.subarray(Number(start), Number(end) + 1);
}

function listing(objects: FakeObjects, { query }: Asked): Answered {
  const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
  const { entries, isMore } = objects.list(query.get('prefix') ?? '', query.get('delimiter') ?? '', after, LIST_MOST);
  const last = entries.at(-1);
  const next = last === undefined || last.object !== undefined ? last?.key : `${last.key}\u{10FFFF}`;
  const told = entries.map(({ key, object }) =>
    object === undefined
      ? `<CommonPrefixes><Prefix>${escaped(key)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${escaped(key)}</Key><Size>${object.bytes.length}</Size><ETag>${escaped(object.etag)}</ETag></Contents>`,
  );
  const token = isMore ? `<NextContinuationToken>${escaped(next ?? '')}</NextContinuationToken>` : '';
  return xml(`<ListBucketResult><IsTruncated>${isMore}</IsTruncated>${token}${told.join('')}</ListBucketResult>`);
}

function headersOf({ etag, modifiedAt }: FakeObject): Record<string, string> {
  return { ETag: etag, 'Last-Modified': modifiedAt.toUTCString() };
}

function xml(text: string): Answered {
  return { status: 200, headers: { 'Content-Type': 'application/xml' }, body: `<?xml version="1.0"?>${text}` };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function plain(text: string): string {
  return text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&');
}
