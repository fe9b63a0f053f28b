/* A service that never ends: says that it is alive once a second. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    for (unsigned long tick = 0;; tick++) {
        printf("tick %lu\n", tick);
        fflush(stdout);
        sleep(1);
    }
}
