#include "weir/connection/detail/tls_support.hpp"

namespace weir {
namespace {

constinit const tls_support* provided = nullptr;

}  // namespace

const tls_support* tls_provided() noexcept { return provided; }

void provide_tls(const tls_support& by) noexcept { provided = &by; }

}  // namespace weir
