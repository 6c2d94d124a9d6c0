#include "engine.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "guest.hpp"
#include "request_parser.hpp"

using namespace kv;

namespace {

// An engine and one client of it, whose requests are lines.
struct talk {
  engine server;
  guest client{server, "127.0.0.1:1"};
  milliseconds_since_1970 now = 1'000'000;

  std::string operator()(const std::string& lines) {
    weir::write_buffer out;
    client.run(lines, now, out);
    return std::string(out.text());
  }
};

}  // namespace

TEST_CASE("commands answer in the protocol of Redis") {
  talk to;
  CHECK(to("PING\nset a hello\nGET a\nget b\nSTRLEN a\nMGET a b\n") ==
        "+PONG\r\n+OK\r\n$5\r\nhello\r\n$-1\r\n:5\r\n*2\r\n$5\r\nhello\r\n$-1\r\n");
  CHECK(to("get\n") == "-ERR wrong number of arguments for 'get' command\r\n");
  CHECK(to("foo bar 'a b'\n") == "-ERR unknown command 'foo', with args beginning with: 'bar' 'a b' \r\n");
}

TEST_CASE("no word of a client forges an answer of its own") {
  talk to;
  for (const auto* line :
       {"\"x\\r\\n+OK\\r\\n\" 1\n", "x \"\\r\\n+OK\"\n", "expire a 1 \"\\r\\n:1\"\n", "hello 2 \"\\n-x\"\n",
        "config set \"a\\r\\nb\" 1\n", "client \"\\r\\n\"\n", "object \"\\r\\nx\" a\n"}) {
    const std::string answer = to(line);
    CAPTURE(line, answer);
    CHECK(answer.front() == '-');
    CHECK(answer.find('\n') == answer.size() - 1);
  }
}

TEST_CASE("deadlines are those of the time that the engine is told") {
  talk to;
  CHECK(to("SET a 1 EX 10\nPTTL a\nTTL a\nEXPIRETIME a\n") == "+OK\r\n:10000\r\n:10\r\n:1010\r\n");
  to.now = 1'010'000;
  CHECK(to("GET a\nPTTL a\n") == "$1\r\n1\r\n:0\r\n");
  to.now = 1'010'001;
  CHECK(to("GET a\nPTTL a\nDBSIZE\n") == "$-1\r\n:-2\r\n:0\r\n");
  CHECK(to("SET b 1 PX 5\nPERSIST b\nTTL b\nPEXPIRE b 7\nINCR b\nPTTL b\n") ==
        "+OK\r\n:1\r\n:-1\r\n:1\r\n:2\r\n:7\r\n");
  to.server.set_time(1'010'100);
  CHECK(!to.server.expire());
  CHECK(to.server.keys().size() == 0);
}

TEST_CASE("a batch stops when there is enough to send, and goes on from there") {
  engine server;
  client_state client;
  request_parser parser;
  weir::write_buffer out;
  const std::string input = "*2\r\n$4\r\nECHO\r\n$6\r\n123456\r\n";
  std::string all;
  for (int i = 0; i < 10; ++i) all += input;
  std::size_t at = 0;
  for (int i = 0; i < 10; ++i) {
    REQUIRE(parser.parse(std::string_view(all).substr(at)) == request_parser::result::complete);
    at += parser.size();
    REQUIRE(server.batch().add(parser.words(), at, parser.is_in_place()));
  }
  CHECK(server.run_batch(client, out, 30) == 3);  // twelve bytes each
  CHECK(out.pending() == 36);
  CHECK(server.batch()[2].end == 3 * input.size());
  CHECK(server.batch().size() == 0);
}

TEST_CASE("after a client has left nothing more of its batch is run") {
  engine server;
  client_state client;
  weir::write_buffer out;
  request_parser parser;
  const std::string all = "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n";
  for (std::size_t at = 0;
       parser.parse(std::string_view(all).substr(at)) == request_parser::result::complete;) {
    at += parser.size();
    server.batch().add(parser.words(), at, parser.is_in_place());
  }
  CHECK(server.run_batch(client, out, 1000) == 2);
  CHECK(out.text() == "+PONG\r\n+OK\r\n");
  CHECK(client.leaves);
}

TEST_CASE("a batch of any commands answers as they would one by one") {
  const std::string script =
      "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
      "*2\r\n$3\r\nGET\r\n$0\r\n\r\n*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$3\r\nGET\r\n$"
      "1\r\nb\r\n"
      "*1\r\n$3\r\nGET\r\n*0\r\n*1\r\n$6\r\nNOSUCH\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n*2\r\n$3\r\nGET\r\n$"
      "1\r\nb\r\n";
  talk single;
  engine together;
  client_state client;
  weir::write_buffer out;
  request_parser parser;
  for (std::size_t at = 0;
       parser.parse(std::string_view(script).substr(at)) == request_parser::result::complete;) {
    at += parser.size();
    together.batch().add(parser.words(), at, parser.is_in_place());
  }
  together.run_batch(client, out, 1000);
  CHECK(out.text() == single(script));
}

TEST_CASE("beyond maxmemory commands that grow are refused, and those that read or remove go on") {
  talk to;
  CHECK(to("SET a 1\nCONFIG SET maxmemory 1\n") == "+OK\r\n+OK\r\n");
  CHECK(to("SET b 2\nAPPEND a x\n") ==
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
  CHECK(to("GET a\nDEL a\nCONFIG SET maxmemory 0\nSET b 2\n") == "$1\r\n1\r\n:1\r\n+OK\r\n+OK\r\n");
}

TEST_CASE("strings beyond proto-max-bulk-len are refused, and none is lost") {
  talk to;
  CHECK(to("CONFIG SET proto-max-bulk-len 1048576\nSET a x\n") == "+OK\r\n+OK\r\n");
  const std::string refused = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
  CHECK(to("SETRANGE a 1048576 y\n") == refused);
  CHECK(to("SETRANGE a 9223372036854775807 y\n") == refused);
  CHECK(to("SETBIT a 8388608 1\n") == "-ERR bit offset is not an integer or out of range\r\n");
  CHECK(to("SETRANGE a 1048575 y\nSTRLEN a\nAPPEND a z\nGETRANGE a 0 0\n") ==
        ":1048576\r\n:1048576\r\n" + refused + "$1\r\nx\r\n");
}

TEST_CASE("an answer that would be far longer than any string is refused whole") {
  talk to;
  CHECK(to("CONFIG SET proto-max-bulk-len 1048576\nSETRANGE a 999999 x\n") == "+OK\r\n:1000000\r\n");
  std::string request = "PING\nMGET";
  for (int i = 0; i < 1000; ++i) request += " a";
  CHECK(to(request + "\nPING\n") == "+PONG\r\n-OOM there is no memory for this\r\n+PONG\r\n");
  CHECK(to("MGET a a\n").size() == 2'000'000 + 4 + 2 * 12);
}

TEST_CASE("CONFIG tells and changes what there is, all or nothing") {
  talk to;
  CHECK(to("CONFIG GET save appendonly\n") ==
        "*4\r\n$4\r\nsave\r\n$0\r\n\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
  CHECK(to("CONFIG GET maxmem*\n").starts_with("*4\r\n"));
  CHECK(to("CONFIG SET maxmemory 5 nothing 1\n") ==
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'\r\n");
  CHECK(to("CONFIG SET maxmemory x\n")
            .starts_with("-ERR CONFIG SET failed (possibly related to argument 'maxmemory')"));
  CHECK(to("CONFIG SET proto-max-bulk-len 1\n").starts_with("-ERR CONFIG SET failed"));
  CHECK(to("CONFIG GET maxmemory\n") == "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
}

TEST_CASE("clients are greeted in the version of the protocol that they ask for") {
  talk to;
  CHECK(to("HELLO 2 SETNAME me\nCLIENT GETNAME\nCLIENT ID\n")
            .ends_with("$7\r\nmodules\r\n*0\r\n$2\r\nme\r\n:1\r\n"));
  CHECK(to("HELLO 4\n") == "-NOPROTO unsupported protocol version\r\n");
  CHECK(to("GET a\n") == "$-1\r\n");
  CHECK(to("HELLO 3\n").starts_with("%7\r\n$6\r\nserver\r\n"));
  CHECK(to("GET a\nCONFIG GET maxmemory\n") == "_\r\n%1\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
  CHECK(to("RESET\nCLIENT GETNAME\nGET a\n") == "+RESET\r\n$-1\r\n$-1\r\n");
}

TEST_CASE("a transaction runs as a whole, or not at all") {
  talk to;
  CHECK(to("MULTI\nSET a 1\nINCR a\nGET a\nEXEC\n") ==
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
  CHECK(to("MULTI\nSET a 9\nGET\nEXEC\nGET a\n") ==
        "+OK\r\n+QUEUED\r\n-ERR wrong number of arguments for 'get' command\r\n"
        "-EXECABORT Transaction discarded because of previous errors.\r\n$1\r\n2\r\n");
  CHECK(to("MULTI\nSET a 9\nDISCARD\nGET a\n") == "+OK\r\n+QUEUED\r\n+OK\r\n$1\r\n2\r\n");
  CHECK(to("MULTI\nINCR\nRESET\nEXEC\n").ends_with("+RESET\r\n-ERR EXEC without MULTI\r\n"));
}

TEST_CASE("whatever changes a watched key, EXEC runs nothing then") {
  for (const char* const change :
       {"SET a 2",        "DEL a",          "UNLINK a",      "APPEND a x",        "INCR a",
        "EXPIRE a 100",   "EXPIRE a -1",    "RENAME a b",    "RENAME c a",        "COPY c a REPLACE",
        "SETRANGE a 0 x", "SETBIT a 1 1",   "GETDEL a",      "GETSET a 1",        "MSET a 1",
        "FLUSHALL",       "GETEX a EX 100", "BITOP NOT a c", "PSETEX a 100000 1", "INCRBYFLOAT a 1"}) {
    CAPTURE(change);
    talk to;
    to("SET a 1\nSET c 1\nWATCH a\n");
    to(std::string(change) + "\n");
    CHECK(to("MULTI\nPING\nEXEC\n") == "+OK\r\n+QUEUED\r\n*-1\r\n");
    CHECK(to("MULTI\nPING\nEXEC\n") == "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");  // it watched once
  }
  for (const char* const none :
       {"GET a", "SET b 1", "DEL b", "TTL a", "PERSIST a", "SETNX a 2", "GETRANGE a 0 1", "UNWATCH",
        "EXISTS a", "RENAMENX c a", "SETRANGE a 0 ''"}) {
    CAPTURE(none);
    talk to;
    to("SET a 1\nSET c 1\nWATCH a\n");
    to(std::string(none) + "\n");
    CHECK(to("MULTI\nPING\nEXEC\n") == "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
  }
}

TEST_CASE("with a password nothing is done for a client that has not given it") {
  talk to;
  CHECK(to("AUTH default anything\nCONFIG SET requirepass secret\nPING\n") == "+OK\r\n+OK\r\n+PONG\r\n");
  CHECK(to("RESET\nGET a\nMULTI\nPING\nAUTH default wrong\nAUTH secre\nAUTH secrets\nAUTH ''\n") ==
        "+RESET\r\n-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n-NOAUTH "
        "Authentication required.\r\n" +
            [] {
              std::string wrong;
              for (int i = 0; i < 4; ++i)
                wrong += "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
              return wrong;
            }());
  CHECK(to("AUTH secret\nPING\n") == "+OK\r\n+PONG\r\n");
}

TEST_CASE("sizes are told with units, and a parameter once") {
  talk to;
  for (const auto& [text, bytes] :
       {std::pair{"100mb", "104857600"}, {"1k", "1000"}, {"1Gb", "1073741824"}, {"7", "7"}})
    CHECK(to("CONFIG SET maxmemory " + std::string(text) + "\nCONFIG GET maxmemory\n")
              .ends_with("\r\n" + std::string(bytes) + "\r\n"));
  CHECK_THAT(to("CONFIG SET maxmemory 1 maxmemory 1\n"), Catch::Matchers::Contains("duplicate parameter"));
  CHECK_THAT(to("CONFIG SET maxmemory 1x\n"), Catch::Matchers::Contains("argument must be a memory value"));
}

TEST_CASE("answers can be switched off, for one command or until further notice") {
  talk to;
  CHECK(to("CLIENT REPLY OFF\nPING\nNOSUCH\n").empty());
  CHECK(to("CLIENT REPLY ON\nCLIENT REPLY SKIP\nPING\nPING x\n") == "+OK\r\n$1\r\nx\r\n");
}

TEST_CASE("a client that speaks HTTP is closed without an answer") {
  talk to;
  CHECK(to("POST / HTTP/1.1\n").empty());
  CHECK(to.client.state().leaves);
  CHECK(to.client.state().is_foreign);
}

TEST_CASE("INFO counts") {
  talk to;
  to("SET a 1\nGET a\nGET b\nSET c 1 EX 5\n");
  const std::string text = to("INFO\n");
  for (const auto* line :
       {"keyspace_hits:1\r\n", "keyspace_misses:1\r\n", "db0:keys=2,expires=1,avg_ttl=0\r\n",
        "maxmemory:0\r\n", "total_commands_processed:5\r\n"})
    CHECK_THAT(text, Catch::Matchers::Contains(line));
  CHECK(to("INFO keyspace\n") == "$44\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n\r\n");
}
