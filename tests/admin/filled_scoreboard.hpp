#pragma once
// tests of admin: figures as a pool under load has them.

#include <cstdint>

#include "weir/process/detail/scoreboard.hpp"

// What `workers` with two loops each have counted.
inline void fill(weir::process::scoreboard& board, unsigned workers) {
  using namespace weir;
  using observe::figure;
  using observe::measure;
  for (unsigned w = 0; w < workers; ++w) {
    process::worker_score& row = *board.take();
    row.index = w;
    row.now = process::worker_score::state::serving;
    observe::process_ledger ledger = board.ledger_of(row);
    for (unsigned loop = 0; loop < 2; ++loop) {
      const observe::recorder to = ledger.loop(loop);
      (*to.counted)[figure::tls_resumed].add(w + loop);
      (*to.counted)[figure::received_bytes].add(1'000'000'000);
      for (std::uint64_t ns = 1; ns < 1'000'000'000; ns += 1 + ns / 7)
        for (const measure m : {measure::turn, measure::lag, measure::request})
          of(*to.measured, m).record(ns);
    }
  }
}
