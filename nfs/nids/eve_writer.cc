#include "nfs/nids/eve_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

namespace hb::nids {
namespace {

/// A writer that died in the middle of a line left no newline: the next line must not join it.
void end_partial_line(int fd) noexcept {
  struct stat status {};
  char last = '\n';
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return;
  if (pread(fd, &last, 1, status.st_size - 1) != 1 || last == '\n') return;
  [[maybe_unused]] const ssize_t n = write(fd, "\n", 1);
}

}  // namespace

Result<std::unique_ptr<EveWriter>> EveWriter::open(EveWriterOptions options) {
  options.capacity = std::bit_ceil(std::max(options.capacity, 2u));
  // Reading, too, to look at the last byte; a FIFO or device may allow writing alone.
  int fd = ::open(options.path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) fd = ::open(options.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return Error{fmt::format("alert file {}: {}", options.path, std::strerror(errno)),
                 "give --alerts a file in a folder that exists and may be written"};
  }
  end_partial_line(fd);
  return std::unique_ptr<EveWriter>(new EveWriter(fd, std::move(options)));
}

EveWriter::EveWriter(int fd, EveWriterOptions options)
    : fd_(fd), options_(std::move(options)), queue_(options_.capacity) {
  // The thread takes no signals: they are for the NF's own thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EveWriter::~EveWriter() {
  flush();
  stop_.store(true, std::memory_order_relaxed);
  // One count more than alerts, so that the thread wakes. Release: stop_ is seen with it.
  pushed_.fetch_add(1, std::memory_order_release);
  pushed_.notify_one();
  thread_.join();
  close(fd_);
}

bool EveWriter::push(const Alert& alert) noexcept {
  const std::uint32_t at = pushed_.load(std::memory_order_relaxed);
  while (true) {
    // Acquire: pairs with the release store in run(), so the slot's last alert has been read.
    const std::uint32_t taken = taken_.load(std::memory_order_acquire);
    if (at - taken < options_.capacity) break;
    if (!options_.wait_when_full) {
      n_overflowed_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    taken_.wait(taken, std::memory_order_acquire);
  }
  queue_[at & (options_.capacity - 1)] = alert;
  // Release: pairs with the acquire load in run(), so that a counted alert is whole.
  pushed_.store(at + 1, std::memory_order_release);
  pushed_.notify_one();
  return true;
}

void EveWriter::flush() noexcept {
  const std::uint32_t end = pushed_.load(std::memory_order_relaxed);
  // Acquire: pairs with the release store in run(): the alerts counted there are written.
  for (std::uint32_t taken = taken_.load(std::memory_order_acquire); taken != end;
       taken = taken_.load(std::memory_order_acquire)) {
    taken_.wait(taken, std::memory_order_acquire);
  }
}

void EveWriter::run() noexcept {
  std::uint32_t taken = 0;
  while (true) {
    pushed_.wait(taken, std::memory_order_acquire);
    // Acquire: pairs with the release stores in push() and in the destructor.
    const std::uint32_t pushed = pushed_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;  // the destructor has flushed before
    const std::uint32_t end = taken + std::min(pushed - taken, kMaxBatch);
    if (end == taken) continue;
    write_batch(taken, end);
    taken = end;
    taken_.store(taken, std::memory_order_release);  // pairs with push() and flush()
    taken_.notify_one();
  }
}

void EveWriter::write_batch(std::uint32_t begin, std::uint32_t end) noexcept {
  bool ok = false;
  try {
    std::string text;
    for (std::uint32_t i = begin; i != end; ++i) {
      text += eve_line(queue_[i & (options_.capacity - 1)]);
    }
    ok = write_all(text);
    if (!ok && !failed_) {
      spdlog::error("alert file {}: {}: alerts are lost", options_.path, std::strerror(errno));
    }
    failed_ = !ok;
  } catch (const std::exception& error) {  // no memory
    if (!std::exchange(failed_, true)) spdlog::error("alerts are lost: {}", error.what());
  }
  (ok ? n_written_ : n_unwritten_).fetch_add(end - begin, std::memory_order_relaxed);
}

bool EveWriter::write_all(const std::string& text) noexcept {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd_, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace hb::nids
