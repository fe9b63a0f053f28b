// A guestbook: GET shows what has been written, POST adds a line and sends the browser back.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(void) {
    char line[512];
    FILE *book = fopen("/data/guestbook.txt", "r");
    printf("Content-Type: text/html; charset=utf-8\n\n"
           "<!doctype html><title>Guestbook</title><h1>Guestbook</h1><ul>");
    while (book && fgets(line, sizeof line, book)) {
        printf("<li>");
        for (char *c = line; *c; c++)
            if (*c == '<') printf("&lt;");
            else if (*c == '&') printf("&amp;");
            else putchar(*c);
    }
    printf("</ul><form method=post enctype=text/plain><input name=text autofocus> <button>Write</button></form>");
}

static void add(void) {
    char line[512] = "";
    FILE *book = fopen("/data/guestbook.txt", "a");
    fgets(line, sizeof line, stdin);
    char *text = strchr(line, '=');
    if (book && text) fprintf(book, "%.*s\n", (int)strcspn(text + 1, "\r\n"), text + 1);
    printf("Location: /\nStatus: 303 See Other\n\n");
}

int main(void) {
    if (!strcmp(getenv("REQUEST_METHOD"), "POST")) add();
    else show();
    return 0;
}
