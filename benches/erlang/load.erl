%% Calls of a driver, as many as it answers or at a pace. Times are in microseconds.
-module(load).

-export([closed/4, paced/4, storm/3]).

%% So many callers, each of whom calls again when it is answered, for so long. `What` is a hook, or `pairs`
%% of a connection's beginning and end.
closed(Driver, What, Callers, Millis) ->
    Self = self(),
    Pids = [spawn_link(fun() ->
        receive {go, End} -> Self ! {self(), caller(Driver, What, Caller, Callers, Caller * 202, End, [])} end
    end) || Caller <- lists:seq(0, Callers - 1)],
    Start = now_us(),
    [Pid ! {go, Start + 1000 * Millis} || Pid <- Pids],
    Calls = lists:append([receive {Pid, Done} -> Done end || Pid <- Pids]),
    [summary(What, now_us() - Start, Calls)].

caller(Driver, What, Caller, Callers, Call, End, Done) ->
    case now_us() of
        %% A connection that began also ends.
        Now when Now >= End, What =/= pairs; Now >= End, Call rem 2 =:= 0 ->
            Done;
        _ ->
            {Hook, N} = case What of
                pairs -> fleet:pair(Caller, Callers, Call);
                _ -> {What, Call * 7919 rem fleet:size()}
            end,
            caller(Driver, What, Caller, Callers, Call + 1, End, [timed(Driver, Hook, N, Call) | Done])
    end.

%% Calls of several hooks at once, each at its own pace whether or not the earlier ones were answered.
%% The first client of each is of the number `From`.
paced(Driver, Paces, From, Millis) ->
    Start = now_us(),
    Self = self(),
    Pacers = [{Hook, spawn_link(fun() ->
        Started = pace(Driver, Hook, 1000000 div Rate, From, erlang:monotonic_time(millisecond), 1000 * Millis, 0),
        Self ! {self(), collect(Started, [])}
    end)} || {Hook, Rate} <- Paces],
    Done = [{Hook, receive {Pid, Calls} -> Calls end} || {Hook, Pid} <- Pacers],
    Elapsed = now_us() - Start,
    [summary(Hook, Elapsed, Calls) || {Hook, Calls} <- Done].

%% Gives how many calls were started: one every so many microseconds.
pace(_, _, Every, _, _, Length, Call) when Call * Every >= Length ->
    Call;
pace(Driver, Hook, Every, From, Start, Length, Call) ->
    wait_until(Start + Call * Every div 1000),
    Self = self(),
    spawn_link(fun() -> Self ! {done, timed(Driver, Hook, From + Call, Call)} end),
    pace(Driver, Hook, Every, From, Start, Length, Call + 1).

wait_until(Millis) ->
    case Millis - erlang:monotonic_time(millisecond) of
        Left when Left > 0 ->
            Timer = erlang:start_timer(Millis, self(), due, [{abs, true}]),
            receive {timeout, Timer, due} -> ok end;
        _ ->
            ok
    end.

collect(0, Done) -> Done;
collect(Left, Done) -> receive {done, Call} -> collect(Left - 1, [Call | Done]) end.

%% So many logins at once, of clients from the number `From` on.
storm(Driver, From, Count) ->
    Self = self(),
    Start = now_us(),
    [spawn_link(fun() -> Self ! {done, timed(Driver, client_authenticate, N, 0)} end)
     || N <- lists:seq(From, From + Count - 1)],
    Calls = collect(Count, []),
    [summary(client_authenticate, now_us() - Start, Calls)].

timed(Driver, Hook, N, Call) ->
    Args = fleet:args(Hook, N, Call),
    Start = now_us(),
    Answer = owner:call(Driver, Hook, Args),
    {now_us() - Start, Answer}.

%% What Rust reads: a line of `name=value`.
summary(What, Elapsed, Calls) ->
    Times = list_to_tuple(lists:sort([Time || {Time, _} <- Calls])),
    Count = tuple_size(Times),
    At = fun(Part) -> element(max(1, min(Count, ceil(Count * Part))), Times) end,
    Answers = [Answer || {_, Answer} <- Calls],
    io_lib:format("what=~s calls=~b elapsed=~b p50=~b p99=~b max=~b allowed=~b denied=~b late=~b",
                  [What, Count, Elapsed, At(0.5), At(0.99), At(1.0), number({ok, {0, true}}, Answers),
                   number({ok, {0, false}}, Answers), number({error, timeout}, Answers)]).

number(Answer, Answers) -> length([A || A <- Answers, A =:= Answer]).

now_us() -> erlang:monotonic_time(microsecond).
