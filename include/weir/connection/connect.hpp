#pragma once
// connection: the client side.

#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/connection/tls_info.hpp"
#include "weir/listen/endpoint.hpp"
#include "weir/task/task.hpp"

namespace weir {

// A connection of this core to `to`; no idle timeout, TCP_NODELAY set. When the server stops its input does
// not end: a handler that waits for an answer gets it, or is cancelled after the drain timeout. Thread: a
// core. Errors: std::system_error that names the address: connection_refused, timed_out (the kernel's, two
// minutes), ...; errc::not_on_a_core. Cancel: throws operation_canceled; the attempt is given up.
[[nodiscard]] task<connection> connect(endpoint to);

// The same for an address in the form of listen/endpoint.hpp or with a name, which is resolved beside the
// loop: "example.org:80". Of several addresses each further one is tried 250 ms after the one before, or when
// that has failed, and the first that answers is taken (RFC 8305). With "tls:" before it, TLS is spoken as
// `how` says: "tls:example.org:443". Errors: also those of the resolver; std::errc::protocol_error with
// OpenSSL's reason, as for a certificate that is not believed; std::invalid_argument.
[[nodiscard]] task<connection> connect(std::string_view address);
// Give `how` a name: GCC 12 destroys an aggregate within a co_await expression twice.
[[nodiscard]] task<connection> connect(std::string_view address, const tls_client_options& how);

}  // namespace weir
