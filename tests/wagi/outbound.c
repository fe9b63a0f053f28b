#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("wasi_experimental_http"), import_name(name)))
IMPORT("req") uint32_t req(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t, const char *,
                           uint32_t, uint16_t *, uint32_t *);
IMPORT("close") uint32_t close_response(uint32_t);
IMPORT("body_read") uint32_t body_read(uint32_t, char *, uint32_t, uint32_t *);
IMPORT("header_get") uint32_t header_get(uint32_t, const char *, uint32_t, char *, uint32_t, uint32_t *);
IMPORT("headers_get_all") uint32_t headers_get_all(uint32_t, char *, uint32_t, uint32_t *);

int main(int argc, char **argv) {
    uint16_t status = 0;
    uint32_t handle = 0, other = 0, length = 0;
    char buffer[4096];
    const char *headers = "X-Ours:yes\nAccept:text/plain\n";
    const char *method = argc > 2 ? argv[2] : "POST";
    puts("Content-Type: text/plain\n");
    uint32_t error = req(argv[1], strlen(argv[1]), method, strlen(method), headers, strlen(headers), "sent", 4,
                         &status, &handle);
    printf("req %u %u\n", error, status);
    if (error) return 0;
    while (!body_read(handle, buffer, 3, &length) && length) printf("body %.*s\n", (int)length, buffer);
    printf("header %u", header_get(handle, "X-Theirs", 8, buffer, sizeof buffer, &length));
    printf(" %.*s\n", (int)length, buffer);
    printf("small %u\n", header_get(handle, "x-theirs", 8, buffer, 1, &length));
    printf("missing %u\n", header_get(handle, "x-none", 6, buffer, sizeof buffer, &length));
    printf("all %u\n", headers_get_all(handle, buffer, sizeof buffer, &length));
    printf("found %d\n", memmem(buffer, length, "x-theirs:value\n", 15) != 0);
    printf("outside %u\n", body_read(handle, (char *)0xFFFFFF00, 16, &length));
    printf("second %u\n", req(argv[1], strlen(argv[1]), "GET", 3, "", 0, "", 0, &status, &other));
    printf("close %u\n", close_response(handle));
    printf("closed %u\n", body_read(handle, buffer, 3, &length));
    return 0;
}
