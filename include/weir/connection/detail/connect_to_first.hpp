#pragma once
// connection: one connection to a server that has several addresses.

#include <vector>

#include "weir/connection/connection.hpp"
#include "weir/listen/endpoint.hpp"
#include "weir/task/task.hpp"

namespace weir {

// Tries each address 250 ms after the one before, or when that has failed, and takes the first that answers
// (RFC 8305, section 5). `addresses` is not empty. Errors, Cancel: as of connect(); the error is that of the
// last attempt to fail.
[[nodiscard]] task<connection> connect_to_first(std::vector<endpoint> addresses);

}  // namespace weir
