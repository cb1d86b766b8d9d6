// Read the configuration that shallop put in force, follow it, and say whether it is well. C++17 and Linux, nothing else.
//
// `read_current` opens `current` once and takes every file from there, so the files are of one deployment, whatever
// happens meanwhile. inotify tells when to look again: the agent changes the link `current` by one rename(2).

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

[[noreturn]] void fail(const std::string& doing) { throw std::system_error(errno, std::generic_category(), doing); }

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int number) : number_(number) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  ~Fd() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  int give_away() {
    const int number = number_;
    number_ = -1;
    return number;
  }

 private:
  int number_;
};

struct Deployment {
  std::string id;
  std::map<std::string, std::string> files;  // by their paths
};

std::string read_all(int file) {
  std::string bytes;
  char buffer[65536];
  for (;;) {
    const ssize_t count = ::read(file, buffer, sizeof buffer);
    if (count == 0) return bytes;
    if (count > 0) bytes.append(buffer, static_cast<size_t>(count));
    else if (errno != EINTR) fail("read");
  }
}

void read_tree(Fd directory, const std::string& prefix, std::map<std::string, std::string>& files) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(directory.get()), &::closedir);
  if (!entries) fail("fdopendir " + prefix);
  const int at = directory.give_away();  // closedir closes it
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    Fd below(::openat(at, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat found {};
    if (!below.is_open() || ::fstat(below.get(), &found) != 0) fail("open " + prefix + name);
    if (S_ISDIR(found.st_mode)) read_tree(std::move(below), prefix + name + "/", files);
    else if (S_ISREG(found.st_mode)) files[prefix + name] = read_all(below.get());
  }
}

// The name of the tree that a descriptor stands for.
std::string tree_of(int directory) {
  char target[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(directory);
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  if (size < 0) fail("readlink " + link);
  const std::string path(target, static_cast<size_t>(size));
  return path.substr(path.rfind('/') + 1);
}

// The deployment in sight; nothing if there is none.
std::optional<Deployment> read_current(const std::string& root) {
  const std::string current = root + "/current";
  for (;;) {
    const Fd directory(::open(current.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open()) {
      if (errno == ENOENT) return std::nullopt;
      fail("open " + current);
    }
    const std::string tree = tree_of(directory.get());
    Deployment found{tree.substr(0, tree.find('.')), {}};
    try {
      read_tree(Fd(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), "", found.files);
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::no_such_file_or_directory) throw;
      continue;
    }
    // What is taken off the robot loses its name first: if that is still there, nothing was missing while we read.
    if (!found.id.empty() && tree_of(directory.get()) == tree) return found;
  }
}

// Says that a deployment is well, or what is wrong with it. True if the agent took the word.
bool acknowledge(const std::string& door, const std::string& name, const std::string& deployment,
                 const std::string& wrong) {
  const Fd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!connection.is_open() || door.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, door.c_str(), door.size());
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  // `wrong` has no character here that JSON would have to escape.
  const std::string body = "{\"name\":\"" + name + "\",\"deployment\":\"" + deployment + "\",\"ok\":" +
                           (wrong.empty() ? "true" : "false") + ",\"message\":\"" + wrong + "\"}";
  const std::string request = "POST /v1/acks HTTP/1.1\r\nHost: robot\r\nConnection: close\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t count = ::send(connection.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count < 0) return false;
    sent += static_cast<size_t>(count);
  }
  return read_all(connection.get()).rfind("HTTP/1.1 200 ", 0) == 0;
}

// Waits until `current` may be another one.
void wait_for_change(int watch) {
  alignas(inotify_event) char buffer[16384];
  for (;;) {
    const ssize_t size = ::read(watch, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) fail("read inotify");
    bool is_ours = false;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      if (event->mask & IN_IGNORED) throw std::runtime_error("the configuration root was removed");
      const bool is_current = event->len > 0 && std::strcmp(event->name, "current") == 0;
      is_ours = is_ours || is_current || (event->mask & IN_Q_OVERFLOW) != 0;
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    if (is_ours) return;
  }
}

// What is wrong with a deployment; empty if it can be used. A real program parses its files here.
std::string take(const Deployment& deployment) {
  std::cout << deployment.id << ": " << deployment.files.size() << " files" << std::endl;
  for (const auto& [path, bytes] : deployment.files) std::cout << "  " << path << "  " << bytes.size() << " bytes\n";
  std::cout.flush();
  for (const auto& [path, bytes] : deployment.files) {
    if (bytes.empty()) return "an empty file is of no use";
  }
  return "";
}

void follow(const std::string& root, const std::string& door, const std::string& name) {
  // The watch comes before the first look, so that no change falls between the two.
  const Fd watch(::inotify_init1(IN_CLOEXEC));
  if (!watch.is_open()) fail("inotify_init1");
  if (::inotify_add_watch(watch.get(), root.c_str(), IN_MOVED_TO | IN_CREATE | IN_DELETE) < 0) fail("watch " + root);
  for (;;) {
    if (const auto deployment = read_current(root)) {
      const std::string wrong = take(*deployment);
      if (!name.empty()) acknowledge(door, name, deployment->id, wrong);
    } else {
      std::cout << "nothing is in force" << std::endl;
    }
    wait_for_change(watch.get());
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 && count != 4) {
    std::cerr << "usage: " << arguments[0] << " ROOT [SOCKET NAME]\n";
    return 2;
  }
  try {
    follow(arguments[1], count == 4 ? arguments[2] : "", count == 4 ? arguments[3] : "");
  } catch (const std::exception& error) {
    std::cerr << "follow_current: " << error.what() << "\n";
    return 1;
  }
}
