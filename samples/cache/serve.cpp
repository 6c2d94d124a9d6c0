#include "serve.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "session.hpp"

namespace cache {

weir::task<> serve(weir::connection client, service* shared, weir::log::limiter* strangers) {
  weir::writer out(client);
  weir::reader in(client, out, session::longest_get + weir::reader::default_limit);
  session talk(*shared, out);
  bool amid_answers = false;  // more follows what was sent
  for (;;) {
    const std::string_view buffered = in.buffered();
    std::string_view left = buffered;
    need next{};
    try {
      next = talk.work(left, shared->clock.now());
    } catch (...) {
      if (amid_answers) client.abort();  // a FIN would say that this is all
      throw;
    }
    amid_answers = next.what == need::kind::flush || next.what == need::kind::download;
    in.consume(buffered.size() - left.size());
    switch (next.what) {
      case need::kind::input: {
        const std::string_view more = co_await in.peek(next.bytes);
        if (more.size() < next.bytes) co_return;
        break;
      }
      case need::kind::flush: {
        const bool sent = co_await out.flush();
        if (!sent) co_return;
        break;
      }
      case need::kind::upload: {
        static_cast<void>(co_await out.flush());
        for (std::span<std::byte> space = talk.upload_space(); !space.empty(); space = talk.upload_space()) {
          const std::size_t count = co_await client.read_some(space);
          if (count == 0) co_return;
          talk.uploaded(count);
        }
        break;
      }
      case need::kind::download: {
        const std::array<std::string_view, 3> pieces{out.text(), talk.download(), session::end_of_line};
        const bool sent = co_await client.send(pieces);
        out.clear();
        talk.downloaded();
        if (!sent) co_return;
        break;
      }
      case need::kind::end:
        if (talk.is_foreign())
          if (const auto others = strangers->pass())
            weir::log::warning("{} speaks another protocol: closed, and {} before", client.peer().to_string(),
                               *others);
        static_cast<void>(co_await out.flush());
        co_return;
    }
  }
}

}  // namespace cache
