/* Greets, tells what it was given, counts to five and exits with the code that it is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *greeting = getenv("GREETING");
    printf("%s from WebAssembly\n", greeting ? greeting : "Hello");
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    for (int i = 1; i <= 5; i++) {
        printf("%d\n", i);
        fflush(stdout);
        usleep(200 * 1000);
    }
    const char *code = getenv("EXIT_CODE");
    return code ? atoi(code) : 0;
}
