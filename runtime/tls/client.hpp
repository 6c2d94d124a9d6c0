#pragma once
// tls: this side is the client.

#include <memory>
#include <string>

#include "weir/connection/detail/tls_support.hpp"

namespace weir::tls {

// Errors: std::system_error that names the file of authorities; std::bad_alloc.
[[nodiscard]] std::unique_ptr<stream_layer> make_client_layer(const tls_client_options& how,
                                                              const std::string& name);

}  // namespace weir::tls
