%% Does what the terms on its input say, one after the other, and answers each with lines and a last one `done`.
-module(bench).

-export([main/0]).

main() ->
    fleet:prepare(),
    loop(#{}).

loop(Drivers) ->
    case io:read("") of
        {ok, Command} ->
            {Lines, Next} = run(Command, Drivers),
            [io:format("~s~n", [Line]) || Line <- Lines],
            io:format("done~n"),
            loop(Next);
        eof ->
            [owner:close(Driver) || Driver <- maps:values(Drivers)],
            halt(0)
    end.

run(otp, Drivers) ->
    {[erlang:system_info(otp_release)], Drivers};
run({open, Name, Command, Env}, Drivers) ->
    Driver = owner:open(Command, Env),
    {[["pid=", integer_to_list(owner:os_pid(Driver))]], Drivers#{Name => Driver}};
run({close, Name}, Drivers) ->
    {Driver, Rest} = maps:take(Name, Drivers),
    ok = owner:close(Driver),
    {[], Rest};
run({closed, Name, What, Callers, Millis}, Drivers) ->
    {load:closed(maps:get(Name, Drivers), What, Callers, Millis), Drivers};
run({paced, Name, Paces, From, Millis}, Drivers) ->
    {load:paced(maps:get(Name, Drivers), Paces, From, Millis), Drivers};
run({storm, Name, From, Count}, Drivers) ->
    {load:storm(maps:get(Name, Drivers), From, Count), Drivers}.
