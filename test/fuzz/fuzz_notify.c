/*
 * notify_send: any path in NOTIFY_SOCKET does no harm, and to a right one what
 * was said arrives as one datagram, whole or not at all.
 * Input: u8 flag (1: the right socket), the path up to a NUL, then the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "fuzz.h"
#include "master/notify.h"

enum { TEXT_MAX = 512 }; /* with its terminator */

/* A socket with an abstract name; its name for NOTIFY_SOCKET. */
static int
listen_there(char *name, size_t size)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	int n = snprintf(name, size, "@weir-fuzz-%d", (int)getpid());

	memcpy(sun.sun_path, name, (size_t)n);
	sun.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, len) < 0)
		abort();
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char name[64];
	char path[300], text[2 * TEXT_MAX], got[2 * TEXT_MAX];
	size_t len, n = 0;
	ssize_t came;

	if (fd < 0)
		fd = listen_there(name, sizeof(name));
	if (size == 0)
		return 0;
	while (1 + n < size && n < sizeof(path) - 1 && data[1 + n] != '\0') {
		path[n] = (char)data[1 + n];
		n++;
	}
	path[n] = '\0';
	/* Only there: the fuzzer must not speak to services. */
	if (path[0] != '@' || strcmp(path, name) == 0)
		path[0] = '\0';
	len = size - 1 - n;
	if (len > sizeof(text) - 1)
		len = sizeof(text) - 1;
	memcpy(text, data + 1 + n, len);
	text[len] = '\0';
	setenv("NOTIFY_SOCKET", data[0] & 1 ? name : path, 1);
	notify_send("STATUS=%s", text);
	came = recv(fd, got, sizeof(got), 0);
	if (!(data[0] & 1) || strlen(text) + 7 >= TEXT_MAX) {
		ASSERT(came < 0);
	} else {
		ASSERT(came == (ssize_t)strlen(text) + 7);
		ASSERT(memcmp(got, "STATUS=", 7) == 0);
		ASSERT(memcmp(got + 7, text, strlen(text)) == 0);
	}
	return 0;
}
