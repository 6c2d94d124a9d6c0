// The other ruler: io_uring in C with nothing between the program and the kernel. Accept and receive are
// multishot, received bytes lie in a ring of provided buffers, and one call submits every send of a batch and
// waits for the next completions. One send of a connection is under way at a time, so that its bytes keep
// their order.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { entries = 1024, completions = 8192, buffers = 1024, buffer_size = 4096, backlog = 4096, group = 0 };
enum kind { kind_accept, kind_receive, kind_send };

struct message {
  unsigned from, size;
  int next;  // of the same connection; -1: the last
};

struct client {
  int first, last;  // messages that are to be sent; -1: none
  int receiving;
  int broken;
};

static volatile sig_atomic_t stopping;
static char memory[buffers][buffer_size];
static struct message messages[buffers];
static struct client* clients;
static struct io_uring ring;
static struct io_uring_buf_ring* free_buffers;

static void stop(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

static void fail(const char* what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

static int listen_on(int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof address) < 0 || listen(fd, backlog) < 0)
    fail("listen", errno);
  return fd;
}

static struct io_uring_sqe* next_entry(enum kind what, int fd, int buffer) {
  struct io_uring_sqe* entry = io_uring_get_sqe(&ring);
  if (entry == NULL) {
    io_uring_submit(&ring);
    entry = io_uring_get_sqe(&ring);
    if (entry == NULL) fail("the submission queue stays full", EBUSY);
  }
  entry->user_data = (uint64_t)what | (uint64_t)buffer << 2 | (uint64_t)fd << 32;
  return entry;
}

// liburing's prepare functions overwrite the user data.
static void want_accept(int listener) {
  struct io_uring_sqe* entry = next_entry(kind_accept, listener, 0);
  uint64_t data = entry->user_data;
  io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
  entry->user_data = data;
}

static void want_bytes(int fd) {
  struct io_uring_sqe* entry = next_entry(kind_receive, fd, 0);
  uint64_t data = entry->user_data;
  io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
  entry->user_data = data;
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = group;
  clients[fd].receiving = 1;
}

static void send_message(int fd, int buffer) {
  struct message* m = &messages[buffer];
  struct io_uring_sqe* entry = next_entry(kind_send, fd, buffer);
  uint64_t data = entry->user_data;
  io_uring_prep_send(entry, fd, memory[buffer] + m->from, m->size, MSG_NOSIGNAL);
  entry->user_data = data;
}

static void give_back(int buffer) {
  io_uring_buf_ring_add(free_buffers, memory[buffer], buffer_size, (unsigned short)buffer,
                        io_uring_buf_ring_mask(buffers), 0);
  io_uring_buf_ring_advance(free_buffers, 1);
}

static void close_if_done(int fd) {
  if (!clients[fd].receiving && clients[fd].first < 0) close(fd);
}

static void received(int fd, const struct io_uring_cqe* event) {
  struct client* c = &clients[fd];
  if ((event->flags & IORING_CQE_F_MORE) == 0) c->receiving = 0;
  if (event->res > 0) {
    int buffer = (int)(event->flags >> IORING_CQE_BUFFER_SHIFT);
    messages[buffer] = (struct message){.from = 0, .size = (unsigned)event->res, .next = -1};
    if (c->broken) {
      give_back(buffer);
    } else if (c->first < 0) {
      c->first = c->last = buffer;
      send_message(fd, buffer);
    } else {
      messages[c->last].next = buffer;
      c->last = buffer;
    }
  }
  if (!c->receiving && !c->broken && (event->res > 0 || event->res == -ENOBUFS))
    want_bytes(fd);
  else
    close_if_done(fd);
}

static void sent(int fd, int buffer, int result) {
  struct client* c = &clients[fd];
  struct message* m = &messages[buffer];
  if (result > 0 && (unsigned)result < m->size) {
    m->from += (unsigned)result;
    m->size -= (unsigned)result;
    send_message(fd, buffer);
    return;
  }
  c->first = m->next;
  give_back(buffer);
  if (result < 0 && !c->broken) {
    c->broken = 1;
    shutdown(fd, SHUT_RDWR);  // ends the receive
  }
  while (c->broken && c->first >= 0) {
    int left = c->first;
    c->first = messages[left].next;
    give_back(left);
  }
  if (c->first >= 0)
    send_message(fd, c->first);
  else
    close_if_done(fd);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  clients = calloc(files.rlim_cur, sizeof *clients);
  if (clients == NULL) fail("calloc", ENOMEM);

  int listener = listen_on(atoi(argv[1]));
  struct io_uring_params how = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
      .cq_entries = completions};
  int error = io_uring_queue_init_params(entries, &ring, &how);
  if (error < 0) fail("io_uring_setup", -error);
  if (posix_memalign((void**)&free_buffers, 4096, buffers * sizeof(struct io_uring_buf)) != 0)
    fail("posix_memalign", ENOMEM);
  struct io_uring_buf_reg provided = {
      .ring_addr = (uint64_t)(uintptr_t)free_buffers, .ring_entries = buffers, .bgid = group};
  error = io_uring_register_buf_ring(&ring, &provided, 0);
  if (error < 0) fail("io_uring_register", -error);
  io_uring_buf_ring_init(free_buffers);
  for (int i = 0; i < buffers; ++i) give_back(i);

  want_accept(listener);
  while (!stopping) {
    error = io_uring_submit_and_wait(&ring, 1);
    if (error < 0 && error != -EINTR) fail("io_uring_enter", -error);
    struct io_uring_cqe* event;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, event) {
      ++count;
      int fd = (int)(event->user_data >> 32);
      switch ((enum kind)(event->user_data & 3)) {
        case kind_accept:
          if (event->res >= 0) {
            clients[event->res] = (struct client){.first = -1, .last = -1};
            want_bytes(event->res);
          }
          if ((event->flags & IORING_CQE_F_MORE) == 0) want_accept(listener);
          break;
        case kind_receive: received(fd, event); break;
        case kind_send: sent(fd, (int)(event->user_data >> 2 & 0xffff), event->res); break;
      }
    }
    io_uring_cq_advance(&ring, count);
  }
  return 0;
}
