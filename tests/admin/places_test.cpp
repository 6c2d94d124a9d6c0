#include "weir/admin/detail/places.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <vector>

using namespace weir;
using namespace weir::observe;
using admin::place;
using admin::places;

TEST_CASE("loops of one place are one, in order, with those that have ended and the threads of a worker") {
  const auto all = std::make_unique<ledger>();
  process_ledger second(*all, 5, 1);  // row 5: worker 1
  process_ledger first(*all, 4, 0);
  process_ledger old(*all, 3, 0);  // a generation before
  (*first.loop(1).counted)[figure::requests].add(1);
  (*first.first().counted)[figure::requests].add(10);
  (*old.first().counted)[figure::requests].add(100);
  of(*first.first().measured, measure::request).record(1000, 3);
  of(*old.first().measured, measure::request).record(1000, 4);
  for (int i = 0; i < 3; ++i) (*second.thread().counted)[figure::requests].add(1000);

  struct row {
    unsigned worker, core, live;
    std::uint64_t requests, measured;
    bool operator==(const row&) const = default;
  };
  const auto rows = [&] {
    std::vector<row> out;
    for (const place& p : places(*all))
      out.push_back({p.worker, p.core, p.live, p[figure::requests], p.measured(measure::request).count()});
    return out;
  };
  CHECK(rows() == std::vector<row>{
                      {0, 0, 2, 110, 7}, {0, 1, 1, 1, 0}, {1, 0, 1, 0, 0}, {1, place::threads, 3, 3000, 0}});
  all->retire(3);
  CHECK(rows().front() == row{0, 0, 1, 110, 7});
  const places now(*all);
  CHECK(now.sum(figure::requests) == 3111);
  CHECK(now.measured(measure::request).count() == 7);
}

TEST_CASE("workers that share a listener see one queue, those with listeners of their own have several") {
  const auto all = std::make_unique<ledger>();
  process_ledger one(*all, 1, 0);
  process_ledger two(*all, 2, 1);
  (*one.first().counted)[figure::accept_queue].set(3);
  (*two.first().counted)[figure::accept_queue].set(4);
  const places now(*all);
  CHECK(now.of_listeners(figure::accept_queue, accept_kind::shared) == 4);
  CHECK(now.of_listeners(figure::accept_queue, accept_kind::reuseport) == 7);
}
