#include "nf_lib/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hb::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    near_ = ControlSocket(ends[0]);
    far_ = ControlSocket(ends[1]);
  }
  /// What the other end gets from these raw bytes.
  auto receive_raw(const std::string& bytes) {
    EXPECT_EQ(send(near_.fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return far_.receive(milliseconds(1000));
  }
  static std::size_t n_open_files() {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      ++n;
    return n;
  }
  ControlSocket near_, far_;
};

TEST_F(ControlSocketTest, MessagesArriveWholeAndInOrder) {
  const json first = {{"op", "register"}, {"n", 7}, {"list", {1, 2, 3}}, {"text", "\u00e4\n\"\\"}};
  const json second = json::object();
  ASSERT_TRUE(near_.send(first).ok());
  ASSERT_TRUE(near_.send(second).ok());
  for (const json& sent : {first, second}) {
    const auto got = far_.receive(milliseconds(1000));
    ASSERT_TRUE(got.ok()) << got.error().line();
    ASSERT_TRUE(got->has_value());
    EXPECT_EQ(**got, sent);
  }
}

TEST_F(ControlSocketTest, TheLongestMessagePassesAndALongerOneIsRefused) {
  json message = {{"text", ""}};
  const std::size_t frame = message.dump().size();
  message["text"] = std::string(kMaxMessageBytes - frame, 'x');
  ASSERT_TRUE(near_.send(message).ok());
  const auto got = far_.receive(milliseconds(1000));
  ASSERT_TRUE(got.ok()) << got.error().line();
  EXPECT_EQ(**got, message);

  message["text"] = std::string(kMaxMessageBytes - frame + 1, 'x');
  const auto refused = near_.send(message);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().what.find("too long"), std::string::npos);
  EXPECT_FALSE(far_.receive(milliseconds(0)).operator*().has_value()) << "nothing was sent";
}

TEST_F(ControlSocketTest, GarbageIsAnErrorAndTheNextMessageIsRead) {
  std::string deep(100'000, '[');
  for (const std::string& bytes :
       {std::string("x"), std::string("{"), std::string("{\"a\":}"), std::string("[1]"),
        std::string("null"), std::string("17"), std::string("{}{}"), std::string("\0\0", 2),
        std::string("{\"a\":\"\xff\"}"), deep, std::string(kMaxMessageBytes + 1, ' '),
        "{}" + std::string(kMaxMessageBytes, ' ')}) {
    const auto got = receive_raw(bytes);
    ASSERT_FALSE(got.ok()) << bytes.substr(0, 20);
    EXPECT_NE(got.error().what.find("not a message"), std::string::npos);
  }
  const auto good = receive_raw("{\"op\":\"ok\"}");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->value()["op"], "ok");
}

/// File names and command lines are bytes; what is no UTF-8 in them must not end a program.
TEST_F(ControlSocketTest, TextThatIsNoUtf8IsSentWithReplacements) {
  ASSERT_TRUE(near_.send({{"path", "/tmp/\xff\xfe.csv"}}).ok());
  const auto got = far_.receive(milliseconds(1000));
  ASSERT_TRUE(got.ok()) << got.error().line();
  EXPECT_EQ(got->value()["path"], "/tmp/\xef\xbf\xbd\xef\xbf\xbd.csv");
}

TEST_F(ControlSocketTest, AGonePeerIsAnErrorAtBothCalls) {
  near_.close();
  EXPECT_FALSE(near_.open());
  const auto got = far_.receive(milliseconds(1000));
  ASSERT_FALSE(got.ok());
  EXPECT_NE(got.error().what.find("gone"), std::string::npos);
  EXPECT_FALSE(far_.send({{"op", "x"}}).ok()) << "and no SIGPIPE";
}

TEST_F(ControlSocketTest, WhatWasSentBeforeTheEndIsStillRead) {
  ASSERT_TRUE(near_.send({{"op", "bye"}}).ok());
  near_.close();
  const auto got = far_.receive(milliseconds(1000));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->value()["op"], "bye");
  EXPECT_FALSE(far_.receive(milliseconds(1000)).ok());
}

TEST_F(ControlSocketTest, WaitsNoLongerThanTold) {
  const auto before = std::chrono::steady_clock::now();
  const auto got = far_.receive(milliseconds(30));
  ASSERT_TRUE(got.ok());
  EXPECT_FALSE(got->has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(29));
}

TEST_F(ControlSocketTest, DescriptorsTravelAlong) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  ASSERT_TRUE(near_.send({{"op", "fds"}}, pipe_ends).ok());
  std::vector<int> fds;
  ASSERT_TRUE(far_.receive(milliseconds(1000), &fds).ok());
  ASSERT_EQ(fds.size(), 2u);
  EXPECT_NE(fds[0], pipe_ends[0]);
  EXPECT_EQ(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  char got = 0;
  ASSERT_EQ(read(pipe_ends[0], &got, 1), 1);
  EXPECT_EQ(got, 'x');
  for (const int fd : {pipe_ends[0], pipe_ends[1], fds[0], fds[1]}) ::close(fd);
}

TEST_F(ControlSocketTest, DescriptorsThatNobodyWantsAreClosed) {
  const std::size_t before = n_open_files();
  const std::array<int, 4> four = {0, 1, 2, 0};
  for (int trial = 0; trial < 20; ++trial) {
    ASSERT_TRUE(near_.send({{"n", trial}}, four).ok());
    ASSERT_TRUE(far_.receive(milliseconds(1000)).ok());
    // More than the receiver has room for, from a peer that is not ours.
    std::array<int, 9> many{};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(many))] = {};
    char text[] = "{}";
    iovec part{text, 2};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* const c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(many));
    std::memcpy(CMSG_DATA(c), many.data(), sizeof(many));
    ASSERT_EQ(sendmsg(near_.fd(), &header, 0), 2);
    static_cast<void>(far_.receive(milliseconds(1000)));
  }
  EXPECT_EQ(n_open_files(), before);
}

TEST_F(ControlSocketTest, MovingKeepsOneOwner) {
  const int fd = near_.fd();
  ControlSocket moved(std::move(near_));
  EXPECT_FALSE(near_.open());
  EXPECT_EQ(moved.fd(), fd);
  far_ = std::move(moved);  // closes the far end
  EXPECT_EQ(far_.fd(), fd);
  EXPECT_FALSE(far_.receive(milliseconds(100)).ok());
}

TEST(ControlSocket, SaysThatNoManagerRuns) {
  const auto none = ControlSocket::connect("no-such-platform");
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().what.find("no manager is running for prefix 'no-such-platform'"),
            std::string::npos);
  EXPECT_FALSE(none.error().fix.empty());
}

TEST(ControlSocket, PrefixesArePlainShortWords) {
  for (const char* const good : {"hb", "a", "A-1_z", "123456789012345678901234"})
    EXPECT_TRUE(prefix_is_valid(good)) << good;
  for (const char* const bad :
       {"", "..", "a/b", "a b", "a.b", "\xc3\xa4", "1234567890123456789012345"})
    EXPECT_FALSE(prefix_is_valid(bad)) << bad;
  EXPECT_EQ(control_socket_path("x"), "/run/hummingbird/x/control.sock");
}

}  // namespace
}  // namespace hb::test
