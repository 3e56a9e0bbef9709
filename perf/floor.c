/* The physical limit: receive objects from perf/bench.py and write them to files, and do nothing else.
 *
 * Pre-forked processes accept on one socket; each serves one association at a time with blocking reads, takes
 * the payload of data PDVs as it is, and answers every object with success. No negotiation, no checks, no file
 * meta information, no engine, no error handling beyond giving up: what a receiver costs on top of this is what
 * it does. perf/bench.py compiles and runs it as server "floor" where there is a C compiler.
 *
 *     floor DIRECTORY PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 8, BUFFER = 1 << 18, MOST_VIEWS = 1000 };

static uint32_t big(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t little(const unsigned char *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static void give_up(const char *what)
{
    perror(what);
    _exit(1);
}

static void send_all(int peer, const void *octets, size_t size)
{
    if (send(peer, octets, size, MSG_NOSIGNAL) != (ssize_t)size)
        give_up("send");
}

/* A-ASSOCIATE-AC: context 1 accepted with explicit VR little endian, maximum length 16384 (PS3.8 9.3.3). */
static void acknowledge(int peer, const unsigned char *request)
{
    static const char context[] = "\x21\0\0\x1b\1\0\0\0\x40\0\0\x13" "1.2.840.10008.1.2.1";
    static const char user[] = "\x50\0\0\x08\x51\0\0\x04\0\0\x40\0";
    unsigned char pdu[6 + 68 + sizeof context - 1 + sizeof user - 1] = {2};
    pdu[5] = sizeof pdu - 6;
    memcpy(pdu + 6, request + 6, 68);
    memcpy(pdu + 74, context, sizeof context - 1);
    memcpy(pdu + 74 + sizeof context - 1, user, sizeof user - 1);
    send_all(peer, pdu, sizeof pdu);
}

/* C-STORE-RSP with status 0000H (PS3.7 9.3.1.2), without the affected UIDs. */
static void answer(int peer, const unsigned char *message_id)
{
    unsigned char pdu[] = "\4\0\0\0\0\x3a\0\0\0\x36\1\3"
        "\0\0\0\0\4\0\0\0\x28\0\0\0" "\0\0\0\1\2\0\0\0\1\x80" "\0\0\x20\1\2\0\0\0??"
        "\0\0\0\x08\2\0\0\0\1\1" "\0\0\0\x09\2\0\0\0\0\0";
    memcpy(pdu + 12 + 12 + 10 + 8, message_id, 2);
    send_all(peer, pdu, sizeof pdu - 1);
}

static void flush(int file, struct iovec *views, int *count)
{
    if (*count && writev(file, views, *count) < 0)
        give_up("writev");
    *count = 0;
}

static void serve(int peer, int directory, unsigned char *buffer)
{
    struct iovec views[MOST_VIEWS];
    unsigned char message_id[2] = {0, 0};
    size_t have = 0;     /* octets in the buffer */
    size_t data_left = 0; /* octets of the PDV at hand still to come */
    int file = -1, last = 0, count = 0;

    for (;;) {
        ssize_t got = read(peer, buffer + have, BUFFER - have);
        if (got <= 0)
            return;
        have += (size_t)got;
        size_t at = 0;
        for (;;) {
            if (data_left) {
                size_t piece = have - at < data_left ? have - at : data_left;
                if (!piece)
                    break;
                views[count++] = (struct iovec){buffer + at, piece};
                if (count == MOST_VIEWS)
                    flush(file, views, &count);
                at += piece;
                data_left -= piece;
            }
            if (file >= 0 && last && !data_left) {
                flush(file, views, &count);
                if (close(file))
                    give_up("close");
                file = -1;
                last = 0;
                answer(peer, message_id);
            }
            if (data_left || have - at < (size_t)(have > at && buffer[at] == 5 ? 10 : 12))
                break;
            unsigned char *pdu = buffer + at;
            size_t length = big(pdu + 2);
            if (pdu[0] == 4 && !(pdu[11] & 1)) {
                data_left = length - 6;
                last = pdu[11] & 2;
                at += 12;
                continue;
            }
            if (have - at < 6 + length)
                break;
            if (pdu[0] == 1) {
                acknowledge(peer, pdu);
            } else if (pdu[0] == 5) {
                send_all(peer, "\6\0\0\0\0\4\0\0\0\0", 10);
            } else {
                char name[80] = "";
                for (size_t pos = 12; pos < 6 + length; pos += 8 + little(pdu + pos + 4)) {
                    unsigned element = pdu[pos + 2] | (unsigned)pdu[pos + 3] << 8;
                    if (element == 0x110)
                        memcpy(message_id, pdu + pos + 8, 2);
                    else if (element == 0x1000)
                        memcpy(name, pdu + pos + 8, little(pdu + pos + 4) % sizeof name);
                }
                file = openat(directory, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
                if (file < 0)
                    give_up(name);
            }
            at += 6 + length;
        }
        if (file >= 0)
            flush(file, views, &count);
        memmove(buffer, buffer + at, have - at);
        have -= at;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int directory = open(argv[1], O_RDONLY | O_DIRECTORY), listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (directory < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128))
        give_up("listen");
    for (int n = 0; n < PROCESSES; n++) {
        if (fork())
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsigned char *buffer = malloc(BUFFER);
        for (;;) {
            int peer = accept(listener, NULL, NULL);
            if (peer < 0)
                give_up("accept");
            setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            serve(peer, directory, buffer);
            close(peer);
        }
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
