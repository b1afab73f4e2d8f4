/* Reads: the plan's lines are targets, asked for in turn. */
#include "load.h"

#include <stdio.h>
#include <string.h>

static void ask(struct connection *c, const char *method, const char *target) {
  char headers[4096];
  const bool authorizes = options.authorization != NULL;
  const int length = snprintf(headers, sizeof headers, "Accept: %s\r\n%s%s%s", options.accept,
                              authorizes ? "Authorization: " : "", authorizes ? options.authorization : "",
                              authorizes ? "\r\n" : "");
  if (length >= (int)sizeof headers) die("too long: --accept and --authorization");
  start_request(c, method, target, headers);
}

static bool next_with(struct connection *c, const char *method) {
  ask(c, method, cycle_line());
  return true;
}

static bool next_get(struct connection *c) {
  return next_with(c, "GET");
}

static bool next_head(struct connection *c) {
  return next_with(c, "HEAD");
}

static int expect_ok(const struct connection *c) {
  (void)c;
  return 200;
}

static bool is_done(struct connection *c) {
  (void)c;
  return true;
}

/* A list: its pages are followed by their Link to the last one. */
static bool next_page(struct connection *c) {
  ask(c, "GET", c->step == 0 ? cycle_line() : c->target);
  return true;
}

static bool is_last_page(struct connection *c) {
  strcpy(c->target, c->response.next_page);
  return c->target[0] == '\0';
}

const struct scenario get_scenario = {next_get, expect_ok, is_done};
const struct scenario head_scenario = {next_head, expect_ok, is_done};
const struct scenario list_scenario = {next_page, expect_ok, is_last_page};
