#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plan plan;

static void add_line(char *line) {
  if ((plan.count & (plan.count - 1)) == 0) {
    size_t capacity = plan.count == 0 ? 1 : plan.count * 2;
    plan.lines = realloc(plan.lines, capacity * sizeof *plan.lines);
    if (plan.lines == NULL) die("no memory for the plan");
  }
  plan.lines[plan.count++] = line;
}

void read_plan(FILE *stream) {
  for (;;) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, stream);
    if (length <= 0) break;
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    add_line(line);
  }
  if (plan.count == 0) die("the plan is empty");
}

const char *take_line(void) {
  return plan.next < plan.count ? plan.lines[plan.next++] : NULL;
}

const char *cycle_line(void) {
  return plan.lines[plan.next++ % plan.count];
}

const char *field_start(const char *line, int index) {
  while (index-- > 0) {
    line = strchr(line, '\t');
    if (line == NULL) die("a line of the plan has too few fields");
    line++;
  }
  return line;
}

size_t field(const char *line, int index, char *into, size_t capacity) {
  const char *start = field_start(line, index);
  size_t length = strcspn(start, "\t");
  if (length >= capacity) die("a field of the plan is too long");
  memcpy(into, start, length);
  into[length] = '\0';
  return length;
}
