#pragma once
// proxy: two connections that are joined to one.

#include <string_view>

#include <weir/weir.hpp>

// Copies between both until both directions have ended. With `send_proxy` "v1" or "v2" the client is named to
// the server first, by a header of the PROXY protocol. Lifetime: the text outlives it.
weir::task<> join(weir::connection client, weir::connection server, std::string_view send_proxy);
