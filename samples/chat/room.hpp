#pragma once
// chat: a client in a room.

#include <weir/weir.hpp>

// Its members on each core are the core's own.
weir::task<> chat(weir::connection client);
