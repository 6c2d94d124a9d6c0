// Echo: what comes in goes out. The smallest server, and the one that the benchmarks measure.
//
//   echo                                  on 127.0.0.1:7000, a loop on each core
//   echo --config samples/echo/echo.toml  tcp and a unix socket, with every tunable that matters
//   printf 'hi\n' | nc -N 127.0.0.1 7000
#include "echo.hpp"

int main(int argc, char** argv) { return weir::run(argc, argv, echo); }
