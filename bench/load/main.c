#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {.connections = 1, .accept = "*/*"};

static const char usage[] =
    "usage: load get|head|list|put|push|slow --host IP:PORT [--connections N] [--seconds S]\n"
    "            [--filler FILE --size BYTES [--chunk BYTES]] [--rate BYTES] [--accept TYPES] [--authorization VALUE] < PLAN\n";

_Noreturn void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static struct sockaddr_in parse_host(const char *host) {
  char ip[64];
  const char *colon = strrchr(host, ':');
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (colon == NULL || (size_t)(colon - host) >= sizeof ip) die("not IP:PORT: %s", host);
  memcpy(ip, host, (size_t)(colon - host));
  ip[colon - host] = '\0';
  address.sin_port = htons((uint16_t)atoi(colon + 1));
  if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) die("not an IPv4 address: %s", ip);
  return address;
}

static void set_option(int option) {
  switch (option) {
  case 'h': options.host = optarg; break;
  case 'f': options.filler_file = optarg; break;
  case 'a': options.accept = optarg; break;
  case 'A': options.authorization = optarg; break;
  case 'c': options.connections = atoi(optarg); break;
  case 's': options.seconds = atof(optarg); break;
  case 'z': options.size = atoll(optarg); break;
  case 'k': options.chunk = atoll(optarg); break;
  case 'r': options.rate = atoll(optarg); break;
  default: die("%s", usage);
  }
}

static void parse_options(int count, char **arguments) {
  static const struct option known[] = {
      {"host", required_argument, NULL, 'h'},    {"filler", required_argument, NULL, 'f'},
      {"seconds", required_argument, NULL, 's'}, {"connections", required_argument, NULL, 'c'},
      {"size", required_argument, NULL, 'z'},    {"chunk", required_argument, NULL, 'k'},
      {"rate", required_argument, NULL, 'r'},    {"accept", required_argument, NULL, 'a'},
      {"authorization", required_argument, NULL, 'A'},
      {0}};
  if (count < 2) die("%s", usage);
  options.mode = arguments[1];
  for (int option; (option = getopt_long(count - 1, arguments + 1, "", known, NULL)) != -1;) set_option(option);
  if (options.host == NULL || options.connections < 1) die("%s", usage);
  options.address = parse_host(options.host);
}

static void check_push(void) {
  if (options.filler_file == NULL || options.size <= SUFFIX_LENGTH) die("push needs --filler and a --size over 16");
  open_filler(options.filler_file);
}

static const struct scenario *scenario_of(const char *mode) {
  if (strcmp(mode, "get") == 0) return &get_scenario;
  if (strcmp(mode, "head") == 0) return &head_scenario;
  if (strcmp(mode, "list") == 0) return &list_scenario;
  if (strcmp(mode, "put") == 0) return &put_scenario;
  if (strcmp(mode, "push") == 0) return &push_scenario;
  die("%s", usage);
}

int main(int count, char **arguments) {
  parse_options(count, arguments);
  read_plan(stdin);
  if (strcmp(options.mode, "push") == 0) check_push();
  if (strcmp(options.mode, "slow") == 0) run_slow_pullers();
  else run(scenario_of(options.mode));
  return 0;
}
