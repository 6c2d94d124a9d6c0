// The echo benchmark's peer on libuv: a buffer is lent from a free list for each read, written back at once
// with uv_try_write, and queued with uv_write only when the socket is full.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { buffer_size = 65536, backlog = 4096 };

// A write request and the bytes it sends: one block, so that one free list serves reads and writes.
typedef struct block {
  struct block* next;
  uv_write_t request;
  char bytes[buffer_size];
} block;

static block* free_blocks;

static block* take_block(void) {
  block* taken = free_blocks;
  if (taken == NULL) return malloc(sizeof(block));
  free_blocks = taken->next;
  return taken;
}

static void give_block(block* b) {
  b->next = free_blocks;
  free_blocks = b;
}

static block* block_of(char* bytes) { return (block*)(void*)(bytes - offsetof(block, bytes)); }

static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* out) {
  (void)handle;
  (void)suggested;
  block* taken = take_block();
  *out = taken == NULL ? uv_buf_init(NULL, 0) : uv_buf_init(taken->bytes, buffer_size);
}

static void on_closed(uv_handle_t* handle) { free(handle); }

static void close_once(uv_handle_t* handle) {
  if (!uv_is_closing(handle)) uv_close(handle, on_closed);
}

static void on_written(uv_write_t* request, int status) {
  if (status < 0) close_once((uv_handle_t*)request->handle);
  give_block(request->data);
}

static void on_read(uv_stream_t* client, ssize_t received, const uv_buf_t* buffer) {
  block* used = buffer->base == NULL ? NULL : block_of(buffer->base);
  if (received > 0) {
    uv_buf_t data = uv_buf_init(buffer->base, (unsigned)received);
    int sent = uv_try_write(client, &data, 1);
    if (sent != received && (sent >= 0 || sent == UV_EAGAIN)) {
      if (sent > 0) data = uv_buf_init(data.base + sent, (unsigned)(received - sent));
      used->request.data = used;
      if (uv_write(&used->request, client, &data, 1, on_written) == 0) return;
    }
    if (sent != received) close_once((uv_handle_t*)client);
  } else if (received < 0) {
    close_once((uv_handle_t*)client);
  }
  if (used != NULL) give_block(used);
}

static void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  uv_tcp_t* client = malloc(sizeof *client);
  if (client == NULL) return;
  uv_tcp_init(listener->loop, client);
  if (uv_accept(listener, (uv_stream_t*)client) == 0) {
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t*)client, on_alloc, on_read);
  } else {
    uv_close((uv_handle_t*)client, on_closed);
  }
}

static void on_signal(uv_signal_t* handle, int number) {
  (void)number;
  uv_stop(handle->loop);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  uv_loop_t* loop = uv_default_loop();
  uv_signal_t terminate;
  uv_signal_t interrupt;
  uv_signal_init(loop, &terminate);
  uv_signal_init(loop, &interrupt);
  uv_signal_start(&terminate, on_signal, SIGTERM);
  uv_signal_start(&interrupt, on_signal, SIGINT);

  struct sockaddr_in address;
  uv_tcp_t listener;
  uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address);
  uv_tcp_init(loop, &listener);
  int error = uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0);
  if (error == 0) error = uv_listen((uv_stream_t*)&listener, backlog, on_connection);
  if (error != 0) {
    fprintf(stderr, "listen: %s\n", uv_strerror(error));
    return 1;
  }
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
