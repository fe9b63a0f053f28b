// A guest that does what its first argument says.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int cat(const char *path) {
    char buffer[4096];
    size_t length;
    FILE *file = path ? fopen(path, "r") : stdin;
    if (!file) return fail(path);
    while ((length = fread(buffer, 1, sizeof buffer, file))) fwrite(buffer, 1, length, stdout);
    return 0;
}

static int put(const char *path, const char *content) {
    FILE *file = fopen(path, "w");
    if (!file) return fail(path);
    fputs(content, file);
    return fclose(file) ? fail(path) : 0;
}

// Volatile, and with work after the call, so that no compiler turns it into a loop.
static int recurse(volatile int depth) {
    volatile char room[512];
    room[depth % 512] = (char)depth;
    return recurse(depth + 1) + room[0];
}

static char *volatile kept;

static void bomb(int megabytes) {
    for (int i = 1; i <= megabytes; i++) {
        kept = malloc(1 << 20); // A refusal is not looked at, as in many programs.
        memset(kept, i, 1 << 20);
        printf("%d\n", i);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (!strcmp(verb, "args"))
        for (int i = 0; i < argc; i++) puts(argv[i]);
    if (!strcmp(verb, "env"))
        for (char **variable = environ; *variable; variable++) puts(*variable);
    if (!strcmp(verb, "both")) {
        puts("to stdout");
        fputs("to stderr\n", stderr);
    }
    if (!strcmp(verb, "exit")) return atoi(argv[2]);
    if (!strcmp(verb, "cat")) return cat(argv[2]);
    if (!strcmp(verb, "put")) return put(argv[2], argv[3]);
    if (!strcmp(verb, "remove")) return remove(argv[2]) ? fail(argv[2]) : 0;
    if (!strcmp(verb, "bomb")) bomb(atoi(argv[2]));
    if (!strcmp(verb, "trap")) __builtin_trap();
    if (!strcmp(verb, "recurse")) return recurse(0);
    if (!strcmp(verb, "loop")) {
        puts("looping");
        fflush(stdout);
        for (volatile int i = 0;; i++) {}
    }
    if (!strcmp(verb, "sleep")) {
        puts("sleeping");
        fflush(stdout);
        sleep(1000000);
    }
    if (!strcmp(verb, "flood"))
        for (int i = 0; i < atoi(argv[2]); i++) printf("line %d\n", i);
    if (!strcmp(verb, "follow")) { // Says what it hears, line by line, then exits with 5.
        char line[256];
        puts("ready");
        fflush(stdout);
        while (fgets(line, sizeof line, stdin)) {
            fputs(line, stdout);
            fflush(stdout);
        }
        return 5;
    }
    return 0;
}
