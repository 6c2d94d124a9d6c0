#pragma once
// connection: what changes bytes on their way between the socket and the handler.

#include <cstddef>
#include <string>
#include <utility>

#include "weir/connection/tls_info.hpp"
#include "weir/io/detail/descriptor.hpp"
#include "weir/task/detail/chain.hpp"

namespace weir {

class connection_state;

// Problem: over TLS a silent socket may have input and a full one takes output, so that the readiness of the
// socket is not that of the connection. Here the operations of the connection wait at the layer, and the
// layer waits for the socket, with a registration of its own: the connection's own descriptor is never ready
// and never registered. The layer makes its system calls itself, with each driver and in each wait mode.
// Thread: the one that holds the connection. Lifetime: its connection's, from core to core.
class stream_layer {
 public:
  stream_layer(const stream_layer&) = delete;
  stream_layer& operator=(const stream_layer&) = delete;
  virtual ~stream_layer() = default;

  // recv() and send() answer as the system calls of a socket that does not block: a count, or -errno. send()
  // may take bytes for which the socket has no room yet; they are unsent until flush() has answered 0.
  [[nodiscard]] virtual long recv(void* into, std::size_t size) noexcept = 0;
  [[nodiscard]] virtual long send(const void* from, std::size_t size, int flags) noexcept = 0;
  [[nodiscard]] virtual long flush() noexcept = 0;
  [[nodiscard]] virtual bool has_unsent() const noexcept = 0;

  // One step of the opening: 0 when it is open, -EAGAIN when input is awaited, or another -errno.
  [[nodiscard]] virtual long open() noexcept = 0;

  // True: the next step of the opening may compute for long, and may be taken on another thread. hear() has
  // its input from the socket, and answers as open(). After a 0 open_apart() takes the step, on any thread,
  // and the layer does nothing for its connection, which may end meanwhile, until come_home() was called.
  // The step after it tells what has failed.
  [[nodiscard]] virtual bool opens_slowly() const noexcept = 0;
  [[nodiscard]] virtual long hear() noexcept = 0;
  virtual void open_apart() noexcept = 0;
  virtual void come_home() noexcept = 0;

  // Bytes for which the socket need not be asked.
  [[nodiscard]] virtual bool holds_input() const noexcept = 0;

  // Others on the way cannot read it: it is TLS.
  [[nodiscard]] virtual bool is_secret() const noexcept { return true; }
  [[nodiscard]] virtual tls_info info() const = 0;
  // Of one that is open: a session of an earlier connection goes on.
  [[nodiscard]] virtual bool was_resumed() const noexcept = 0;
  // Why it could not be opened, for people.
  [[nodiscard]] virtual std::string reason() const = 0;

  // Tells the peer that nothing more follows, as far as the socket has room.
  virtual void end_output() noexcept = 0;

  // For the connection. It is the layer of `c`, whose socket has not been looked at.
  void attach(connection_state& c) noexcept;
  // Bytes that were read from the socket before the layer was there: they come first.
  void begin_with(std::string bytes) noexcept { early_ = std::move(bytes); }
  // False: the operation waits here, or has its turn. True: it waits for the socket in the wait mode of the
  // connection, in the direction that `for_reading` then says.
  [[nodiscard]] bool park(operation& op, bool& for_reading) noexcept;
  // Waits in the driver of the connection, whatever its wait mode.
  void watch(bool for_reading) noexcept;
  void leave_driver() noexcept;
  void expect(bool ready) noexcept { socket_.readable = socket_.writable = ready; }
  void read_until_eagain() noexcept { socket_.reads_until_eagain = true; }
  void shut_when_flushed() noexcept { shuts_ = true; }
  [[nodiscard]] bool may_have_input() const noexcept { return socket_.readable || holds_input(); }

 protected:
  stream_layer() noexcept : event_(*this) {}
  [[nodiscard]] bool has_early() const noexcept { return !early_.empty(); }
  // Some of the bytes that came before the layer; 0 when there are none.
  [[nodiscard]] std::size_t take_early(void* into, std::size_t size) noexcept;
  [[nodiscard]] std::string& early() noexcept { return early_; }

  // The system calls. -EAGAIN without one where the socket is known not to be ready.
  [[nodiscard]] long socket_recv(void* into, std::size_t size) noexcept;
  [[nodiscard]] long socket_send(const void* from, std::size_t size, int flags) noexcept;
  // What the peer has sent is acknowledged now: nothing that is sent soon would do it.
  void acknowledge() noexcept;

 private:
  struct event_operation : operation {
    explicit event_operation(stream_layer& l) noexcept : operation(kind_of_event), of(&l) {}
    stream_layer* of;
  };
  static bool event(operation& op) noexcept;
  static bool wait_failed(operation& op, int error) noexcept;
  static constexpr operation_kind kind_of_event{&event, &wait_failed};

  connection_state* on_ = nullptr;
  io::descriptor socket_;  // what the driver knows of it
  event_operation event_;  // waits in both directions
  std::string early_;
  bool shuts_ = false;
};

}  // namespace weir
