#pragma once
// io: the Reactor: an epoll set of weir's own, in which the core's io_context waits.

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/io/detail/driver.hpp"

namespace weir::io {

// Operations try their system call first and park on EAGAIN. A descriptor is registered at its first park,
// edge-triggered and for reading; for writing too from the first time that a send buffer was full.
//
// Thread: the core's. Lifetime: outlives its descriptors.
class readiness_driver final : public driver {
 public:
  readiness_driver(asio::io_context& context, bounds limits, chunk_pool& chunks);
  ~readiness_driver() override;

  void open() override;
  // Errors: those of epoll_ctl(2) end the operation.
  void watch(descriptor& on, descriptor::watch what) noexcept override;
  void forget(descriptor& on) noexcept override;
  [[nodiscard]] int arm_once(descriptor& on, bool for_reading) noexcept override;

 private:
  friend driver;
  struct opened;

  void run(long microseconds, asio_handlers& ready) override;
  void ring_bell() noexcept override;
  [[nodiscard]] int try_watch(descriptor& on, descriptor::watch what) noexcept;
  template <bool Recorded>
  std::size_t poll(long microseconds);
  void more_than_input(descriptor& d, std::uint32_t events);

  int set_ = -1;  // of `opened_`
  std::unique_ptr<opened> opened_;
  epoll_event* events_ = nullptr;
  descriptor rung_;  // nothing is done for its event, which has ended the wait
};

}  // namespace weir::io
