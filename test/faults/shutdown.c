/*
 * What a power cut does to a filesystem: ext4 stops at once and writes nothing more, neither data nor journal.
 *
 *   shutdown DIRECTORY    any directory of the filesystem
 *
 * Its number is EXT4_IOC_SHUTDOWN's and that of the other filesystems that know the call; the value is
 * EXT4_GOING_FLAGS_NOLOGFLUSH.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv) {
  uint32_t without_log_flush = 2;
  if (argc != 2) {
    fprintf(stderr, "usage: shutdown DIRECTORY\n");
    return 2;
  }
  int directory = open(argv[1], O_RDONLY | O_DIRECTORY);
  if (directory < 0 || ioctl(directory, _IOR('X', 125, uint32_t), &without_log_flush) != 0) {
    perror(argv[1]);
    return 1;
  }
  return 0;
}
