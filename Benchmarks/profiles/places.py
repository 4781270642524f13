"""What nbdmount was doing in a sample: in which system call, and what kind of work."""

import collections
import functools
import re

READ, WRITE, RECEIVE, SEND, WAIT = "read of /dev/fuse", "write to /dev/fuse", "recvmsg", "sendmsg", "epoll_wait"
KERNEL, USER = "other kernel", "user space"
PLACES = (READ, WRITE, RECEIVE, SEND, WAIT, KERNEL, USER)

COPYING, WAKING, SWITCHING, BUFFERS = "copying", "waking", "switching", "socket buffers"
PINNING, FAULTS = "page pinning", "page faults"
KINDS = (COPYING, WAKING, PINNING, FAULTS, SWITCHING, BUFFERS)

# The function of a system call, as x86 and arm64 name it (__x64_sys_read, ksys_read, __sys_recvmsg), or the one it becomes.
SYSTEM_CALL = re.compile(r"(?:(?:__(?:x64|arm64)_|__se_|__do_|__|k)sys_|do_(?=readv|writev|epoll_wait))(\w+)$")
CALLS = {
    "read": READ, "readv": READ, "write": WRITE, "writev": WRITE, "recvmsg": RECEIVE, "recvfrom": RECEIVE,
    "sendmsg": SEND, "sendto": SEND, "epoll_wait": WAIT, "epoll_pwait": WAIT, "epoll_pwait2": WAIT,
}

PATTERNS = {
    COPYING: r"_copy_(to|from)_iter|copy_(page|folio)_(to|from)_iter\w*|rep_movs_alternative|_?copy_(to|from)_user\w*"
             r"|(__pi_|__)?(memcpy|memmove)(_\w+)?",
    # A wake-up holds a lock with interrupts disabled: the timer's samples of it are taken where that lock is released, in
    # whichever of these functions the wake-up was inlined into.
    WAKING: r"try_to_wake_up|ttwu_\w+|(__)?wake_up_\w+|\w*wake_function|pollwake|ep_poll_callback"
            r"|sock_def_(readable|write_space)|unix_write_space|aio_complete(_rw)?",
    PINNING: r"gup_\w+|(__)?iov_iter_(get|extract)_pages\w*|(__)?(pin|get)_user_pages\w*|unpin_\w+|fuse_release_user_pages",
    # Also while pinning, where memory is new.
    FAULTS: r"handle_mm_fault|(asm_)?exc_page_fault|do_user_addr_fault|el[01]_[di]a|do_page_fault",
    SWITCHING: r"(__)?schedule|finish_task_switch|__switch_to\w*",
    BUFFERS: r"(__)?alloc_skb\w*|sock_alloc_send_pskb|(__)?(consume|kfree)_skb\w*|skb_release_\w+",
}
COMPILED = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}


def place_of(stack):
    """The outermost system call decides, or else the processor's mode."""
    for frame in stack:
        if frame.is_kernel and (call := SYSTEM_CALL.match(frame.name.partition(".")[0])):
            # Wake-ups of another thread of nbdmount are read from an eventfd.
            is_event = any(inner.name.startswith("eventfd_") for inner in stack)
            return KERNEL if is_event else CALLS.get(call[1], KERNEL)
    return KERNEL if stack and stack[-1].is_kernel else USER


@functools.cache
def kind_of(frame):
    """What a function does by itself; None where its name does not say."""
    # Without the compiler's suffixes: .isra.0, .part.0.
    name = frame.name.partition(".")[0]
    return next((kind for kind, pattern in COMPILED.items() if pattern.fullmatch(name)), None)


def kind_of_stack(stack):
    """The innermost frame that says it decides."""
    return next((kind for frame in reversed(stack) if (kind := kind_of(frame))), None)


def table_of(stacks):
    """Samples by place and kind; the kind None holds the rest."""
    samples = collections.Counter()
    for stack, number in stacks.items():
        samples[place_of(stack), kind_of_stack(stack)] += number
    return samples
