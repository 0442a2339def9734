/* Keep MindSpore 2.10.0 from SIGINT.

With each graph that it runs it takes the signal, for good, and makes of it a SIGTERM to its own
process: neither a program's handler nor Python's KeyboardInterrupt comes to its turn. These are the
two functions of libmindspore_common that do so; of functions of one name the loader takes those that
were loaded first and for all, which these are. */

/* mindspore::SignalGuard::RegisterHandlers(void (*)(int, siginfo_t*, void*)), of a new guard */
void register_handlers(void *guard, void *handler)
    __asm__("_ZN9mindspore11SignalGuard16RegisterHandlersEPFviP9siginfo_tPvE");
void register_handlers(void *guard, void *handler) {}

/* mindspore::RegisterGlobalSignalHandler(void (*)(int, siginfo_t*, void*)): whether it succeeded */
_Bool register_global_handler(void *handler)
    __asm__("_ZN9mindspore27RegisterGlobalSignalHandlerEPFviP9siginfo_tPvE");
_Bool register_global_handler(void *handler) { return 1; }
