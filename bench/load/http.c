#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void copy_value(const char *value, size_t length, char *into, size_t capacity) {
  if (length >= capacity) length = 0;
  memcpy(into, value, length);
  into[length] = '\0';
}

/* RFC 8288: `<target>; rel="next"`. */
static void parse_link(const char *value, size_t length, struct response *response) {
  const char *end = memchr(value, '>', length);
  if (value[0] != '<' || end == NULL) return;
  if (memmem(end, length - (size_t)(end - value), "next", 4) == NULL) return;
  char target[TARGET_CAPACITY];
  copy_value(value + 1, (size_t)(end - value) - 1, target, sizeof target);
  path_of(target, response->next_page, sizeof response->next_page);
}

static bool is_name(const char *line, size_t length, const char *name) {
  return strlen(name) == length && strncasecmp(line, name, length) == 0;
}

static void parse_field(const char *line, size_t length, struct response *response) {
  const char *colon = memchr(line, ':', length);
  if (colon == NULL) return;
  size_t name = (size_t)(colon - line);
  const char *value = colon + 1;
  const char *end = line + length;
  while (value < end && *value == ' ') value++;
  size_t size = (size_t)(end - value);
  if (is_name(line, name, "content-length")) response->content_length = strtoll(value, NULL, 10);
  if (is_name(line, name, "transfer-encoding")) response->chunked = memmem(value, size, "chunked", 7) != NULL;
  if (is_name(line, name, "connection")) response->closes = memmem(value, size, "close", 5) != NULL;
  if (is_name(line, name, "location")) copy_value(value, size, response->location, sizeof response->location);
  if (is_name(line, name, "link")) parse_link(value, size, response);
}

bool parse_response(const char *head, size_t length, struct response *response) {
  *response = (struct response){.content_length = -1};
  if (length < 12 || memcmp(head, "HTTP/1.1 ", 9) != 0) return false;
  response->status = atoi(head + 9);
  const char *end = head + length;
  const char *line = memmem(head, length, "\r\n", 2);
  while (line != NULL && line + 2 < end) {
    line += 2;
    const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
    if (stop == NULL) break;
    parse_field(line, (size_t)(stop - line), response);
    line = stop;
  }
  return true;
}

bool path_of(const char *location, char *into, size_t capacity) {
  const char *scheme = strstr(location, "://");
  const char *path = location[0] == '/' ? location : scheme == NULL ? NULL : strchr(scheme + 3, '/');
  if (path == NULL || strlen(path) >= capacity) return false;
  strcpy(into, path);
  return true;
}
