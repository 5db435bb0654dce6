#include "tests/datapath/interpreter.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <time.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <span>
#include <stdexcept>
#include <vector>

namespace sluice::test {
namespace {

constexpr std::size_t kStack = 512;            // bytes, of one function
constexpr std::size_t kFrames = 8;             // functions that call each other (MAX_CALL_FRAMES)
constexpr std::uint64_t kEndless = 1'000'000;  // instructions

template <typename Pointer>
std::uint64_t word(Pointer* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

void* pointer(std::uint64_t word) {
  return reinterpret_cast<void*>(word);  // NOLINT(performance-no-int-to-ptr): a register holds both
}

std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// A frame where a program can reach it, with room before it: contexts have their pointers in 32 bits.
class LowMemory {
 public:
  explicit LowMemory(const Bytes& frame)
      : size_(kHeadroom + frame.size()),
        start_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)) {
    if (start_ == MAP_FAILED) throw std::runtime_error("no memory below 4 GiB");
    std::memcpy(static_cast<std::uint8_t*>(start_) + kHeadroom, frame.data(), frame.size());
  }
  LowMemory(const LowMemory&) = delete;
  ~LowMemory() { munmap(start_, size_); }
  [[nodiscard]] std::uint32_t begin() const { return static_cast<std::uint32_t>(word(start_)) + kHeadroom; }
  [[nodiscard]] std::uint32_t end() const {
    return static_cast<std::uint32_t>(word(start_)) + static_cast<std::uint32_t>(size_);
  }

 private:
  static constexpr std::uint32_t kHeadroom = 256;  // XDP_PACKET_HEADROOM

  std::size_t size_;
  void* start_;
};

/// The values that the program has been given pointers into. Of a per-CPU map, one CPU's.
class Maps {
 public:
  explicit Maps(const bpf_object& object) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, &object) names_[bpf_map__fd(map)] = map;
  }

  [[nodiscard]] std::string name(int fd) const { return bpf_map__name(names_.at(fd)); }

  std::uint64_t lookup(int fd, const void* key) {
    const bpf_map* map = names_.at(fd);
    const auto* bytes = static_cast<const std::uint8_t*>(key);
    const auto at = std::pair(fd, Bytes(bytes, bytes + bpf_map__key_size(map)));
    if (const auto found = values_.find(at); found != values_.end()) return word(found->second.data());
    const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
    Bytes value(std::size_t{bpf_map__value_size(map) + 7} / 8 * 8 * cpus);
    if (bpf_map_lookup_elem(fd, key, value.data()) != 0) return 0;
    return word(values_.emplace(at, std::move(value)).first->second.data());
  }

 private:
  std::map<int, const bpf_map*> names_;
  std::map<std::pair<int, Bytes>, Bytes> values_;
};

class Run {
 public:
  Run(const bpf_object& object, const bpf_program* program, const Bytes& frame, std::uint32_t ifindex,
      const NextHop& next_hop)
      : maps_(object),
        code_(bpf_program__insns(program), bpf_program__insn_cnt(program)),
        xdp_(bpf_program__type(program) == BPF_PROG_TYPE_XDP),
        frame_(frame),
        next_hop_(next_hop) {
    xdp_context_.data = frame_.begin();
    xdp_context_.data_end = frame_.end();
    xdp_context_.ingress_ifindex = ifindex;
    context_.len = static_cast<__u32>(frame.size());
    context_.protocol = static_cast<__u32>(frame.at(12) | frame.at(13) << 8);
    context_.ifindex = context_.ingress_ifindex = ifindex;
    context_.data = frame_.begin();
    context_.data_end = frame_.end();
  }

  Path go() {
    registers_[BPF_REG_1] = xdp_ ? word(&xdp_context_) : word(&context_);
    registers_[BPF_REG_10] = word(stack_.data()) + kStack;
    while (!ended_) {
      if (++path_.instructions > kEndless) throw std::runtime_error("interpreter: the program does not end");
      step(code_[next_++]);
    }
    path_.action = static_cast<std::uint32_t>(registers_[BPF_REG_0]);
    return path_;
  }

 private:
  struct Caller {
    std::size_t next;
    std::array<std::uint64_t, 4> saved;  // r6 to r9
  };

  [[noreturn]] static void unknown(const char* what, int number) {
    throw std::runtime_error(std::string("interpreter: unknown ") + what + " " + std::to_string(number));
  }

  void step(const bpf_insn& insn) {
    switch (BPF_CLASS(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64:
        return arithmetic(insn);
      case BPF_JMP:
      case BPF_JMP32:
        return jump(insn);
      case BPF_LD:
        return load_constant(insn);
      case BPF_LDX:
        registers_[insn.dst_reg] = load(registers_[insn.src_reg] + static_cast<std::uint64_t>(insn.off), insn.code);
        return;
      case BPF_ST:
        return store(address(insn), insn.code, static_cast<std::uint64_t>(std::int64_t{insn.imm}));
      default:
        if (BPF_MODE(insn.code) == BPF_ATOMIC) return atomic(insn);
        store(address(insn), insn.code, registers_[insn.src_reg]);
    }
  }

  [[nodiscard]] std::uint64_t address(const bpf_insn& insn) const {
    return registers_[insn.dst_reg] + static_cast<std::uint64_t>(insn.off);
  }

  static std::size_t size_of(unsigned code) {
    switch (BPF_SIZE(code)) {
      case BPF_B:
        return 1;
      case BPF_H:
        return 2;
      case BPF_W:
        return 4;
      default:
        return 8;
    }
  }

  static std::uint64_t load(std::uint64_t from, unsigned code) {
    std::uint64_t value = 0;
    std::memcpy(&value, pointer(from), size_of(code));
    return value;
  }

  static void store(std::uint64_t to, unsigned code, std::uint64_t value) {
    std::memcpy(pointer(to), &value, size_of(code));
  }

  void load_constant(const bpf_insn& insn) {
    const bpf_insn& upper = code_[next_++];
    const std::uint32_t zero = 0;
    auto& to = registers_[insn.dst_reg];
    if (insn.src_reg == BPF_PSEUDO_MAP_VALUE)
      to = maps_.lookup(insn.imm, &zero) + static_cast<std::uint32_t>(upper.imm);
    else if (insn.src_reg == BPF_PSEUDO_MAP_FD)
      to = static_cast<std::uint64_t>(insn.imm);
    else
      to = static_cast<std::uint32_t>(insn.imm) | std::uint64_t{static_cast<std::uint32_t>(upper.imm)} << 32;
  }

  [[nodiscard]] std::uint64_t operand(const bpf_insn& insn) const {
    return BPF_SRC(insn.code) == BPF_X ? registers_[insn.src_reg] : static_cast<std::uint64_t>(std::int64_t{insn.imm});
  }

  // In 32 bits where `Word` has so many: the upper half of the result is then zero.
  template <typename Word>
  void calculate(const bpf_insn& insn) {
    using Signed = std::make_signed_t<Word>;
    constexpr Word kShift = sizeof(Word) * 8 - 1;
    const Word a = static_cast<Word>(registers_[insn.dst_reg]), b = static_cast<Word>(operand(insn));
    const auto result = [&]() -> Word {
      switch (BPF_OP(insn.code)) {
        case BPF_ADD:
          return a + b;
        case BPF_SUB:
          return a - b;
        case BPF_MUL:
          return a * b;
        case BPF_DIV:
          return b == 0 ? 0 : a / b;
        case BPF_MOD:
          return b == 0 ? a : a % b;
        case BPF_OR:
          return a | b;
        case BPF_AND:
          return a & b;
        case BPF_XOR:
          return a ^ b;
        case BPF_LSH:
          return a << (b & kShift);
        case BPF_RSH:
          return a >> (b & kShift);
        case BPF_ARSH:
          return static_cast<Word>(static_cast<Signed>(a) >> (b & kShift));
        case BPF_NEG:
          return Word{0} - a;
        case BPF_MOV:
          return b;
        default:
          unknown("instruction", insn.code);
      }
    }();
    registers_[insn.dst_reg] = result;
  }

  void arithmetic(const bpf_insn& insn) {
    if (BPF_OP(insn.code) == BPF_END) return swap(insn);
    if (BPF_CLASS(insn.code) == BPF_ALU64) return calculate<std::uint64_t>(insn);
    calculate<std::uint32_t>(insn);
  }

  // To another byte order: "to big" on a little-endian machine swaps, "to little" only cuts.
  void swap(const bpf_insn& insn) {
    auto& value = registers_[insn.dst_reg];
    const auto bits = static_cast<unsigned>(insn.imm);
    if (BPF_SRC(insn.code) == BPF_TO_BE) value = __builtin_bswap64(value) >> (64 - bits);
    if (bits < 64) value &= (std::uint64_t{1} << bits) - 1;
  }

  template <typename Word>
  [[nodiscard]] bool taken(const bpf_insn& insn) const {
    using Signed = std::make_signed_t<Word>;
    const Word a = static_cast<Word>(registers_[insn.dst_reg]), b = static_cast<Word>(operand(insn));
    const auto c = static_cast<Signed>(a), d = static_cast<Signed>(b);
    switch (BPF_OP(insn.code)) {
      case BPF_JEQ:
        return a == b;
      case BPF_JNE:
        return a != b;
      case BPF_JSET:
        return (a & b) != 0;
      case BPF_JGT:
        return a > b;
      case BPF_JGE:
        return a >= b;
      case BPF_JLT:
        return a < b;
      case BPF_JLE:
        return a <= b;
      case BPF_JSGT:
        return c > d;
      case BPF_JSGE:
        return c >= d;
      case BPF_JSLT:
        return c < d;
      case BPF_JSLE:
        return c <= d;
      default:
        unknown("jump", insn.code);
    }
  }

  void jump(const bpf_insn& insn) {
    const unsigned operation = BPF_OP(insn.code);
    if (operation == BPF_CALL) return insn.src_reg == BPF_PSEUDO_CALL ? call(insn) : call_helper(insn.imm);
    if (operation == BPF_EXIT) return leave();
    const bool wide = BPF_CLASS(insn.code) == BPF_JMP;
    if (operation == BPF_JA || (wide ? taken<std::uint64_t>(insn) : taken<std::uint32_t>(insn)))
      next_ += static_cast<std::size_t>(std::ptrdiff_t{insn.off});
  }

  void call(const bpf_insn& insn) {
    if (callers_.size() + 1 == kFrames) throw std::runtime_error("interpreter: functions are nested too deep");
    callers_.push_back({next_, {registers_[6], registers_[7], registers_[8], registers_[9]}});
    registers_[BPF_REG_10] += kStack;
    next_ += static_cast<std::size_t>(std::ptrdiff_t{insn.imm});
  }

  void leave() {
    if (callers_.empty()) {
      ended_ = true;
      return;
    }
    const Caller caller = callers_.back();
    callers_.pop_back();
    registers_[BPF_REG_10] -= kStack;
    for (std::size_t i = 0; i < caller.saved.size(); i++) registers_[6 + i] = caller.saved[i];
    next_ = caller.next;
  }

  void atomic(const bpf_insn& insn) {
    const std::uint64_t at = address(insn), before = load(at, insn.code), operand = registers_[insn.src_reg];
    if ((insn.imm & ~BPF_FETCH) == BPF_ADD)
      store(at, insn.code, before + operand);
    else if (insn.imm == BPF_XCHG)
      store(at, insn.code, operand);
    else
      unknown("atomic operation", insn.imm);
    if ((insn.imm & BPF_FETCH) != 0) registers_[insn.src_reg] = before;
  }

  void call_helper(int helper) {
    auto& result = registers_[BPF_REG_0];
    const auto first = static_cast<int>(registers_[BPF_REG_1]);
    switch (helper) {
      case BPF_FUNC_map_lookup_elem:
        path_.lookups[maps_.name(first)]++;
        result = maps_.lookup(first, pointer(registers_[BPF_REG_2]));
        return;
      case BPF_FUNC_map_update_elem:
        path_.updates[maps_.name(first)]++;
        result = 0;
        return;
      case BPF_FUNC_ktime_get_ns:
        path_.helpers["ktime_get_ns"]++;
        result = clock_ns(CLOCK_MONOTONIC);
        return;
      case BPF_FUNC_ktime_get_coarse_ns:
        path_.helpers["ktime_get_coarse_ns"]++;
        result = clock_ns(CLOCK_MONOTONIC_COARSE);
        return;
      case BPF_FUNC_redirect:
        path_.helpers["redirect"]++;
        result = 7;  // TC_ACT_REDIRECT
        return;
      case BPF_FUNC_redirect_peer:
        path_.helpers["redirect_peer"]++;
        result = 7;
        return;
      case BPF_FUNC_skb_load_bytes:
        path_.helpers["skb_load_bytes"]++;
        result = load_bytes();
        return;
      case BPF_FUNC_fib_lookup:
        path_.helpers["fib_lookup"]++;
        result = look_up_next_hop();
        return;
      case BPF_FUNC_csum_diff:
        path_.helpers["csum_diff"]++;
        result = difference_of_sums();
        return;
      case BPF_FUNC_xdp_get_buff_len:
        path_.helpers["xdp_get_buff_len"]++;
        result = xdp_context_.data_end - xdp_context_.data;
        return;
      case BPF_FUNC_xdp_adjust_head:
        path_.helpers["xdp_adjust_head"]++;
        xdp_context_.data += static_cast<std::uint32_t>(registers_[BPF_REG_2]);
        result = 0;
        return;
      default:
        unknown("helper", helper);
    }
  }

  std::uint64_t load_bytes() {
    const std::uint64_t from = frame_.begin() + registers_[BPF_REG_2], size = registers_[BPF_REG_4];
    if (from + size > frame_.end()) return static_cast<std::uint64_t>(-EFAULT);
    std::memcpy(pointer(registers_[BPF_REG_3]), pointer(from), size);
    return 0;
  }

  std::uint64_t look_up_next_hop() {
    auto* const asked = static_cast<bpf_fib_lookup*>(pointer(registers_[BPF_REG_2]));
    std::copy(next_hop_.to.bytes.begin(), next_hop_.to.bytes.end(), asked->dmac);
    std::copy(next_hop_.from.bytes.begin(), next_hop_.from.bytes.end(), asked->smac);
    return BPF_FIB_LKUP_RET_SUCCESS;
  }

  // Words of 32 bits, the carries added up: of any sum that is right, some value.
  std::uint64_t difference_of_sums() {
    std::uint64_t sum = registers_[BPF_REG_5];
    const auto add = [&](std::uint64_t from, std::uint64_t size, std::uint32_t inverted) {
      for (std::uint64_t at = 0; at < size; at += 4)
        sum += static_cast<std::uint32_t>(load(from + at, BPF_W)) ^ inverted;
    };
    add(registers_[BPF_REG_1], registers_[BPF_REG_2], 0xffffffff);
    add(registers_[BPF_REG_3], registers_[BPF_REG_4], 0);
    while (sum >> 32 != 0) sum = (sum & 0xffffffff) + (sum >> 32);
    return sum;
  }

  Maps maps_;
  std::span<const bpf_insn> code_;
  bool xdp_;
  LowMemory frame_;
  NextHop next_hop_;
  __sk_buff context_{};
  xdp_md xdp_context_{};
  std::array<std::uint64_t, 11> registers_{};
  alignas(8) std::array<std::uint8_t, kStack * kFrames> stack_{};
  std::vector<Caller> callers_;
  std::size_t next_ = 0;  // index into code_
  bool ended_ = false;
  Path path_;
};

unsigned sum(const std::map<std::string, unsigned>& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0U,
                         [](unsigned so_far, const auto& count) { return so_far + count.second; });
}

}  // namespace

unsigned Path::calls() const { return sum(lookups) + sum(updates) + sum(helpers); }

Path interpret(const bpf_object& object, const char* name, const Bytes& frame, std::uint32_t ifindex,
               const NextHop& next_hop) {
  const bpf_program* program = bpf_object__find_program_by_name(&object, name);
  if (program == nullptr) throw std::runtime_error(std::string("there is no program ") + name);
  Run run(object, program, frame, ifindex, next_hop);
  return run.go();
}

}  // namespace sluice::test
