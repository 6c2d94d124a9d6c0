#pragma once
// ws: what comes in goes out, message by message.

#include <weir/http/exchange.hpp>

// Upgrades to WebSocket and sends each message back. Errors: weir::http::error to a client that asks for
// something else; std::runtime_error for a frame that no client may send, which ends the connection.
weir::task<> send_back(weir::http::exchange x);
