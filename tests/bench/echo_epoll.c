// The ruler of the echo benchmark: epoll in C with nothing between the program and the kernel. One static
// buffer, no memory per connection. A client that does not read stalls everybody for at most a second,
// which no server may do; an echo that is only measured may.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { batch = 512, backlog = 4096 };

static volatile sig_atomic_t stopping;
static char buffer[65536];
static struct epoll_event events[batch];

static void stop(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

static int listen_on(int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof address) < 0 || listen(fd, backlog) < 0) {
    perror("listen");
    exit(1);
  }
  return fd;
}

static int send_rest(int fd, size_t from, size_t size) {
  while (from < size) {
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    if (poll(&writable, 1, 1000) != 1) return -1;
    ssize_t sent = send(fd, buffer + from, size - from, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent > 0) from += (size_t)sent;
  }
  return 0;
}

static void echo(int fd) {
  ssize_t received = recv(fd, buffer, sizeof buffer, 0);
  if (received > 0) {
    ssize_t sent = send(fd, buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received) return;
    if (sent < 0 && errno == EAGAIN) sent = 0;
    if (sent >= 0 && send_rest(fd, (size_t)sent, (size_t)received) == 0) return;
  } else if (received < 0 && errno == EAGAIN) {
    return;
  }
  close(fd);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);

  int listener = listen_on(atoi(argv[1]));
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  while (!stopping) {
    int ready = epoll_wait(set, events, batch, 1000);
    for (int i = 0; i < ready; ++i) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        echo(fd);
        continue;
      }
      int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) continue;
      int on = 1;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      event.data.fd = client;
      epoll_ctl(set, EPOLL_CTL_ADD, client, &event);
    }
  }
  return 0;
}
