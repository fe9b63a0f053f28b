#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void head(void) { printf("Content-Type: text/plain\n\n"); fflush(stdout); }

static void echo(void) {
    static char buffer[65536];
    size_t length, total = 0;
    head();
    while ((length = read(0, buffer, sizeof buffer)) > 0) {
        total += length;
        write(1, buffer, length);
    }
}

static void count(void) {
    static char buffer[65536];
    long length, total = 0;
    while ((length = read(0, buffer, sizeof buffer)) > 0) total += length;
    head();
    printf("%ld of %s", total, getenv("CONTENT_LENGTH"));
}

static void print(long total) {
    static char buffer[65536];
    memset(buffer, 'x', sizeof buffer);
    head();
    while (total > 0) {
        long length = total < (long)sizeof buffer ? total : (long)sizeof buffer;
        write(1, buffer, length);
        total -= length;
    }
}

static void begin(void) {
    char byte;
    head();
    puts("first");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) ;
}

static void allocate(long bytes) {
    volatile char *memory = malloc(bytes);
    if (memory) for (long i = 0; i < bytes; i += 4096) memory[i] = 1;
    head();
    printf("%s", memory ? "allocated" : "refused");
}

static void file(const char *path) {
    char line[256];
    FILE *opened = fopen(path, "r");
    if (!opened) __builtin_trap();
    head();
    while (fgets(line, sizeof line, opened)) fputs(line, stdout);
}


int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0;
    if (!strcmp(word, "environment")) { head(); for (char **e = environ; *e; e++) puts(*e); }
    else if (!strcmp(word, "arguments")) { head(); for (int i = 0; i < argc; i++) puts(argv[i]); }
    else if (!strcmp(word, "echo")) echo();
    else if (!strcmp(word, "count")) count();
    else if (!strcmp(word, "print")) print(number);
    else if (!strcmp(word, "allocate")) allocate(number);
    else if (!strcmp(word, "file")) file(argv[2]);
    else if (!strcmp(word, "loop")) for (volatile long i = 0;; i++);
    else if (!strcmp(word, "sleep")) { sleep(number); head(); puts("slept"); }
    else if (!strcmp(word, "nap")) { usleep(number); head(); puts("napped"); }
    else if (!strcmp(word, "stall")) { head(); puts("first"); fflush(stdout); sleep(1000); }
    else if (!strcmp(word, "trickle")) { begin(); puts("last"); }
    else if (!strcmp(word, "trap")) { fputs("about to trap\n", stderr); __builtin_trap(); }
    else if (!strcmp(word, "late-trap")) { begin(); __builtin_trap(); }
    else if (!strcmp(word, "exit")) { head(); puts("bye"); exit(number); }
    else if (!strcmp(word, "noheaders")) printf("hello world");
    else if (!strcmp(word, "silent")) ;
    else if (!strcmp(word, "long")) { printf("Content-Type: text/plain\nContent-Length: 5\n\nhello world"); }
    else if (!strcmp(word, "status")) printf("Status: %ld Whatever\nSet-Cookie: a=1\nSet-Cookie: b=2\n\nbody", number);
    else { printf("Content-Type: text/plain\n\nhello world\n"); fprintf(stderr, "Some logging\n"); }
    return 0;
}
