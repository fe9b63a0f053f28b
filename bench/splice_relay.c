/* The least a relay in user space can cost: bytes moved with splice(2), nothing else.
 *
 * splice_relay LISTEN_ADDRESS ADDRESS PORT: prints the port that it listens on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (1 << 20)

struct way {
    int source, sink;
};

static void *forward(void *argument)
{
    struct way *way = argument;
    int ends[2];
    ssize_t taken = 0, given = 0;

    if (pipe(ends) || fcntl(ends[0], F_SETPIPE_SZ, SIZE) < 0)
        exit(1);
    while (given >= 0 && (taken = splice(way->source, NULL, ends[1], NULL, SIZE, SPLICE_F_MOVE)) > 0)
        for (; taken > 0; taken -= given)
            if ((given = splice(ends[0], NULL, way->sink, NULL, taken, SPLICE_F_MOVE)) <= 0)
                break;
    shutdown(way->sink, SHUT_WR);
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

static int made(void)
{
    int one = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(one, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    return one;
}

static void start(int source, int sink)
{
    struct way *way = malloc(sizeof *way);
    pthread_t thread;

    *way = (struct way){source, sink};
    pthread_create(&thread, NULL, forward, way);
    pthread_detach(thread);
}

int main(int count, char **words)
{
    struct sockaddr_in front = {.sin_family = AF_INET}, back = {.sin_family = AF_INET};
    socklen_t length = sizeof front;
    int listener = made();

    if (count != 4)
        return 2;
    inet_pton(AF_INET, words[1], &front.sin_addr);
    inet_pton(AF_INET, words[2], &back.sin_addr);
    back.sin_port = htons(atoi(words[3]));
    if (bind(listener, (struct sockaddr *)&front, length) || listen(listener, 16))
        return 1;
    getsockname(listener, (struct sockaddr *)&front, &length);
    printf("%d\n", ntohs(front.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL), server = made();

        if (connect(server, (struct sockaddr *)&back, sizeof back))
            return 1;
        start(client, server);
        start(server, client);
    }
}
