#pragma once
// tests: requests that two readers could read in two ways, each with the status that refuses it.

#include <string>
#include <vector>

namespace test {

struct vector {
  const char* name;
  std::string bytes;
  int status;
};

inline std::string with(const std::string& headers, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

// All of them are found in the head.
inline std::vector<vector> smuggling_heads() {
  return {
      {"a length and a coding", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       400},
      {"a coding and a length", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
       400},
      {"two lengths", with("Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"), 400},
      {"the same length twice", with("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"), 400},
      {"a list of lengths", with("Content-Length: 5, 6\r\n", "abcdef"), 400},
      {"the same in a list", with("Content-Length: 5, 5\r\n", "abcde"), 400},
      {"a length with a sign", with("Content-Length: +5\r\n", "abcde"), 400},
      {"a negative length", with("Content-Length: -5\r\n"), 400},
      {"a hexadecimal length", with("Content-Length: 0x5\r\n", "abcde"), 400},
      {"an empty length", with("Content-Length: \r\n"), 400},
      {"a length with a space in it", with("Content-Length: 1 0\r\n"), 400},
      {"a length beyond 64 bits", with("Content-Length: 18446744073709551616\r\n"), 400},
      {"chunked not last", with("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {"another coding", with("Transfer-Encoding: gzip\r\n"), 400},
      {"another coding before chunked", with("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"codings twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       400},
      {"chunked twice in a list", with("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400},
      {"a coding in quotes", with("Transfer-Encoding: \"chunked\"\r\n"), 400},
      {"a coding with a vertical tab", with("Transfer-Encoding: \vchunked\r\n"), 400},
      {"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"a bare LF behind a header", with("A: b\nContent-Length: 5\r\n", "abcde"), 400},
      {"bare LFs only", "GET / HTTP/1.1\nHost: a\n\n", 400},
      {"a bare CR in a value", with("A: b\rContent-Length: 5\r\n"), 400},
      {"a bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a line that is continued by a space", with("A: b\r\n c\r\n"), 400},
      {"a line that is continued by a tab", with("A: b\r\n\tc\r\n"), 400},
      {"a space before the colon", with("Content-Length : 5\r\n", "abcde"), 400},
      {"a tab before the colon", with("Content-Length\t: 5\r\n", "abcde"), 400},
      {"a header before its name", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"an empty name", with(": b\r\n"), 400},
      {"no colon", with("Content-Length\r\n"), 400},
      {"a name with brackets", with("Content[Length]: 5\r\n"), 400},
      {"a name beyond ASCII", with("Content-L\xc3\xa4nge: 5\r\n"), 400},
      {"a NUL in a value", with(std::string("A: b\0c\r\n", 8)), 400},
      {"a NUL in a name", with(std::string("A\0: b\r\n", 7)), 400},
      {"a NUL in the target", std::string("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 31), 400},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"a path in the Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"CR LF in the target", "GET /a\r\nX: b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"bytes beyond ASCII in the target", "GET /\xc0\xae HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a target that is no path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"HTTP/0.9", "GET /\r\n\r\n", 400},
      {"a version to come", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"a method that nobody knows", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"a tunnel", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"what is no method", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"the protocol of Redis", "*1\r\n$4\r\nPING\r\n", 400},
      {"the protocol of memcached", "get key\r\n", 400},
      {"the beginning of TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
      {"an unknown method before a control character", "BREW / HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n", 501},
      {"empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"an unknown expectation", with("Expect: a-wonder\r\nContent-Length: 5\r\n"), 417},
  };
}

// Bodies whose chunks are malformed.
inline std::vector<vector> smuggling_chunks() {
  std::vector<vector> all;
  const auto add = [&](const char* name, const std::string& body) {
    all.push_back({name, with("Transfer-Encoding: chunked\r\n", body), 400});
  };
  add("a negative size", "-1\r\n\r\n");
  add("a size with 0x", "0x5\r\nabcde\r\n0\r\n\r\n");
  add("a size with a sign", "+5\r\nabcde\r\n0\r\n\r\n");
  add("a space behind the size", "5 \r\nabcde\r\n0\r\n\r\n");
  add("a space before an extension", "5 ;a=b\r\nabcde\r\n0\r\n\r\n");
  add("a space before the size", " 5\r\nabcde\r\n0\r\n\r\n");
  add("no size", "\r\nabcde\r\n0\r\n\r\n");
  add("an extension without a size", ";a=b\r\nabcde\r\n0\r\n\r\n");
  add("no CR LF behind the data", "5\r\nabcde0\r\n\r\n");
  add("a bare LF behind the data", "5\r\nabcde\n0\r\n\r\n");
  add("a bare LF behind the size", "5\nabcde\r\n0\r\n\r\n");
  add("a bare CR behind the size", "5\rabcde\r\n0\r\n\r\n");
  add("a bare LF in an extension", "5;a\nb\r\nabcde\r\n0\r\n\r\n");
  add("a space behind an extension", "5;a=b \r\nabcde\r\n0\r\n\r\n");
  add("a space in an extension", "5; a=b\r\nabcde\r\n0\r\n\r\n");
  add("an extension without a name", "5;\r\nabcde\r\n0\r\n\r\n");
  add("an extension whose name is empty", "5;=b\r\nabcde\r\n0\r\n\r\n");
  add("an extension whose value is empty", "5;a=\r\nabcde\r\n0\r\n\r\n");
  add("an extension that is no token", "5;a[]\r\nabcde\r\n0\r\n\r\n");
  add("a quoted value that does not end", "5;a=\"b\r\nabcde\r\n0\r\n\r\n");
  add("text behind a quoted value", "5;a=\"b\"c\r\nabcde\r\n0\r\n\r\n");
  add("two equals signs", "5;a=b=c\r\nabcde\r\n0\r\n\r\n");
  add("the largest size", "FFFFFFFFFFFFFFFF\r\nabcde");
  add("a size that wraps around", "10000000000000005\r\nabcde\r\n0\r\n\r\n");
  add("too many digits", "00000000000000005\r\nabcde\r\n0\r\n\r\n");
  add("a bare LF at the end", "0\r\n\n");
  add("a trailer that is continued", "0\r\nA: b\r\n c\r\n\r\n");
  add("a trailer without a name", "0\r\n: b\r\n\r\n");
  return all;
}

}  // namespace test
