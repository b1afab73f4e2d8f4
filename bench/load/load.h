/*
 * The load generator's words. One thread, one epoll; the server is what shall be busy, so bodies of answers are thrown
 * away inside the kernel (MSG_TRUNC) and bodies of requests go out with sendfile.
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HEAD_CAPACITY = 16384, TARGET_CAPACITY = 4096, SUFFIX_LENGTH = 16 };

/* What the command line asked for. */
struct options {
  const char *mode;
  const char *host; /* 127.0.0.1:PORT, also sent as Host */
  const char *filler_file;
  const char *accept; /* of GET and HEAD */
  const char *authorization; /* of GET and HEAD; NULL: none */
  int connections;
  double seconds; /* 0: until the plan is used up */
  int64_t size;   /* of every pushed blob, in bytes */
  int64_t chunk;  /* of a PATCH, in bytes; 0 pushes monolithic */
  int64_t rate;   /* of a slow puller, in bytes per second */
  struct sockaddr_in address;
};

/* The lines of the plan, in order; each is one job. */
struct plan {
  char **lines;
  size_t count;
  size_t next;
};

/* The head of an answer, as far as a registry client needs it. */
struct response {
  int status;
  int64_t content_length; /* -1: not said */
  bool chunked;
  bool closes;
  char location[TARGET_CAPACITY]; /* as sent: relative or absolute */
  char next_page[TARGET_CAPACITY]; /* target of Link with rel="next"; empty when there is none */
};

/* What goes out: a head, then either given bytes or a stretch of a blob. */
struct request {
  char head[HEAD_CAPACITY];
  size_t head_length;
  size_t head_sent;
  const char *body; /* small body; NULL when the body is a stretch of the blob */
  int64_t position; /* within the body or the blob */
  int64_t end;
  const char *suffix; /* the last SUFFIX_LENGTH bytes of the blob, which make it unique */
  bool head_only;     /* HEAD: the answer has no body */
};

enum phase { READING_HEAD, READING_LENGTH, READING_CHUNK_SIZE, READING_CHUNK, READING_CHUNK_END, READING_TRAILER };

/* One connection and the job that it works on. */
struct connection {
  int socket;
  bool wants_write;
  bool busy; /* a request is out */
  struct request request;
  struct response response;
  enum phase phase;
  char input[HEAD_CAPACITY];
  size_t input_length;
  int64_t remaining; /* of the body or of the chunk */
  /* The scenario's. */
  const char *line;
  int step;
  int64_t pushed;
  char target[TARGET_CAPACITY];
};

/* What a run adds up. */
struct totals {
  int64_t jobs;
  int64_t requests;
  int64_t body_bytes; /* of answers */
  int64_t failures;
  char first_failure[1024];
};

/* What a kind of load does between two answers. */
struct scenario {
  /* Makes the next request of the connection, `c->step` being how many this job had; false ends the connection. */
  bool (*next)(struct connection *c);
  /* The status that the request just made must be answered with. */
  int (*expected)(const struct connection *c);
  /* Called with the right answer; true when the job is done. */
  bool (*answered)(struct connection *c);
};

extern struct options options;
extern struct plan plan;
extern struct totals totals;
extern const struct scenario get_scenario, head_scenario, list_scenario, put_scenario, push_scenario;

/* plan.c */
void read_plan(FILE *stream);
const char *take_line(void);                            /* NULL when used up */
const char *cycle_line(void);                           /* starts again at the end */
size_t field(const char *line, int index, char *into, size_t capacity); /* tab-separated; the length */
const char *field_start(const char *line, int index);

/* http.c */
bool parse_response(const char *head, size_t length, struct response *response);
bool path_of(const char *location, char *into, size_t capacity); /* drops scheme and authority */

/* receive.c: reads what is there. */
enum progress { WAITING, COMPLETE, BROKEN };
enum progress receive_response(struct connection *c);

/* send.c */
void open_filler(const char *file);
void start_request(struct connection *c, const char *method, const char *target, const char *headers);
void attach_body(struct connection *c, const char *body, int64_t length);
void attach_blob(struct connection *c, int64_t from, int64_t to, const char *suffix);
enum progress send_request(struct connection *c);

/* loop.c */
double now(void);
void fail(const struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void run(const struct scenario *scenario);

/* slow.c */
void run_slow_pullers(void);

/* main.c */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
