#include "weir/admin/detail/metrics.hpp"

#include <catch2/catch.hpp>

#include <string>

#include "filled_scoreboard.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

std::string metrics(process::scoreboard& board) {
  return admin::metrics_of(board, observe::series(), admin::exposition::dialect::openmetrics);
}

}  // namespace

TEST_CASE("each worker and loop has its figures, by result, cause and reason") {
  process::scoreboard board;
  fill(board, 2);
  board.pool().placement_drifts = 3;
  const std::string text = metrics(board);
  CHECK_THAT(text, Contains("weir_tls_handshakes_total{worker=\"1\",core=\"1\",model=\"loop-per-core\","
                            "result=\"resumed\"} 2\n"));
  CHECK_THAT(
      text,
      Contains(
          "weir_connections_refused_total{worker=\"0\",model=\"loop-per-core\",cause=\"proxy_header\"} 0\n"));
  CHECK_THAT(text,
             Contains("weir_connections_evicted_total{worker=\"0\",core=\"0\",model=\"loop-per-core\"} 0\n"));
  CHECK_THAT(text, Contains("weir_file_lost_lines_total{worker=\"1\",model=\"loop-per-core\"} 0\n"));
  CHECK_THAT(text, Contains("weir_placement_drifts 3\n"));
}
