import { createServer } from 'node:http';

/*
 * What a manifest GET costs when nothing but node:http is at work: the headers and the size of our answer, from memory,
 * with no routing, no index and no log.
 *
 *   node bench/floor/http.ts 5998 &  wrk -t1 -c1 -d3s http://127.0.0.1:5998/
 */
const DIGEST = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const BODY = Buffer.alloc(1536, 'x');
const HEADERS = {
  'X-Request-Id': 'abcdef1-1',
  'Docker-Distribution-API-Version': 'registry/2.0',
  'X-Content-Type-Options': 'nosniff',
  'Content-Type': 'application/vnd.oci.image.manifest.v1+json',
  'Content-Length': BODY.length,
  'Docker-Content-Digest': DIGEST,
  ETag: `"${DIGEST}"`,
  'Cache-Control': 'no-cache',
};

createServer({ noDelay: true }, (_request, response) => {
  response.writeHead(200, HEADERS).end(BODY);
}).listen(Number(process.argv[2] ?? 5998), '127.0.0.1');
