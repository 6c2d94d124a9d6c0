#pragma once
// echo: what comes in goes out.

#include <weir/weir.hpp>

inline weir::task<> echo(weir::connection client) {
  while (auto data = co_await client.receive())  // empty at the end of the stream
    co_await client.send(data);
}
