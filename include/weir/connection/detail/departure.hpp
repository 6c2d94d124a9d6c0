#pragma once
// connection: that the server will stop soon, before it does.

#include <atomic>
#include <cstdint>

namespace weir {

// What of a service will stop. Each server has one atomic of it, to which the tables of its connections
// refer, so that a handler on any thread reads it and no connection pays for it.
enum class departure : std::uint8_t {
  no,
  process,  // this process; others go on with the service, such as the workers of the next generation
  service   // a balancer shall choose another machine
};

using departure_state = std::atomic<departure>;

}  // namespace weir
