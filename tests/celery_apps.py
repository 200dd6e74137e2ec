"""The application whose tasks the tests of Celery run: each task is one way to end."""

SHOP = '''
import os, sys, threading, time

import errtrack
from celery import Celery, Task
from celery.exceptions import Ignore, Reject

app = Celery("shop")
app.conf.update(
    broker_url=os.environ["BROKER"],
    result_backend=os.environ["RESULTS"],
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("QUEUE", "celery"),
    worker_prefetch_multiplier=1,
    timezone="Europe/Berlin",
)
if os.environ["BROKER"] == "filesystem://":
    folder = os.environ["FOLDER"]
    app.conf.broker_transport_options = {
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "-control",
    }
if os.environ.get("EAGER"):
    app.conf.task_always_eager = True

os.makedirs("marks", exist_ok=True)
if os.environ.get("EARLY") and "worker" in sys.argv:
    errtrack.capture_message("before there was a pool")


@app.task
def either(n):
    if n % 2:
        raise RuntimeError("odd one")
    return n

@app.task
def add(x, y=0):
    errtrack.set_tag("healthy", x)
    errtrack.add_breadcrumb(message="added")
    return x + y

@app.task
def fail(n, password=None):
    place = "fail %s" % n
    errtrack.set_tag("n", n)
    errtrack.add_breadcrumb(message="about to fail " + str(n))
    raise RuntimeError("failed %s" % n)

@app.task
def log_and_fail():
    import logging
    logging.getLogger("shop").error("a line of its own")
    raise RuntimeError("after a line")

@app.task(throws=(KeyError,))
def declared():
    raise KeyError("declared")

@app.task(bind=True, max_retries=2)
def again(self):
    try:
        raise KeyError("try %s" % self.request.retries)
    except KeyError as error:
        raise self.retry(exc=error, countdown=0)

@app.task(bind=True, max_retries=3)
def mended(self):
    if self.request.retries < 2:
        raise self.retry(exc=ValueError("not yet %s" % self.request.retries), countdown=0)
    return self.request.retries

@app.task(autoretry_for=(LookupError,), retry_kwargs={"max_retries": 1, "countdown": 0})
def auto():
    raise LookupError("automatically")

@app.task
def ignore():
    raise Ignore()

@app.task
def reject():
    raise Reject("no", requeue=False)

@app.task(soft_time_limit=1)
def soft():
    time.sleep(120)

@app.task(time_limit=2)
def hard():
    time.sleep(120)

@app.task
def leave(code):
    sys.exit(code)

@app.task
def interrupt():
    raise KeyboardInterrupt()

@app.task(bind=True)
def busy(self):
    mark(self.request.id, os.getpid())
    time.sleep(120)

@app.task
def whoami():
    return os.getpid()

@app.task
def unencodable():
    return object()

class Odd(Exception):
    def __init__(self, text, lock):
        super().__init__(text)
        self.lock = lock

@app.task
def unpicklable():
    raise Odd("odd", threading.Lock())

class BeforeStart(Task):
    def before_start(self, *args):
        raise RuntimeError("in before_start")

@app.task(base=BeforeStart)
def before_start():
    pass

class OnFailure(Task):
    def on_failure(self, *args):
        raise RuntimeError("in on_failure")

@app.task(base=OnFailure)
def on_failure():
    raise RuntimeError("of the task")

class OnSuccess(Task):
    def on_success(self, *args):
        raise RuntimeError("in on_success")

@app.task(base=OnSuccess)
def on_success():
    return "well"

class AfterReturn(Task):
    def after_return(self, *args):
        raise RuntimeError("in after_return")

@app.task(base=AfterReturn)
def after_return():
    return "well"

class Calling(Task):
    calls = 0

    def __call__(self, *args, **kwargs):
        type(self).calls += 1
        try:
            return self.run(*args, **kwargs)
        except ZeroDivisionError:
            return "swallowed"

@app.task(base=Calling)
def swallow():
    return 1 / 0

@app.task(base=Calling)
def called(n):
    if n == 3:
        raise RuntimeError("called %s" % Calling.calls)
    return Calling.calls

class Exploding(Task):
    @property
    def throws(self):
        raise RuntimeError("no attribute is safe")

@app.task(base=Exploding)
def exploding():
    return "ran"

@app.task(acks_late=True)
def late():
    raise RuntimeError("late")

@app.task
def total(numbers):
    return sum(numbers)

@app.task
def member(n):
    if n == 2:
        raise RuntimeError("member 2")
    return n

@app.task(bind=True)
def shown_headers(self):
    own = [key for key in vars(self.request) if key.startswith("sentry-")]
    return [dict(self.request.headers or {}), own]

@app.task(bind=True)
def nested(self):
    errtrack.set_tag("outer", "yes")
    result = fail.apply((77,))
    error = RuntimeError("outer " + type(result.result).__name__)
    raise error

@app.task
def sends():
    return add.apply_async((1,), task_id="sent-by-a-task").id

@app.task(bind=True)
def meet(self, n):
    """Two at once: each waits until the other has said who it is."""
    errtrack.set_tag("who", n)
    mark("meet-%s" % n, n)
    for _ in range(400):
        if os.path.exists("marks/meet-%s" % (1 - n)):
            break
        time.sleep(0.05)
    raise RuntimeError("met %s" % n)

def mark(name, what):
    with open("marks/%s.part" % name, "w") as file:
        file.write(str(what))
    os.rename("marks/%s.part" % name, "marks/%s" % name)


from celery import signals

@signals.task_prerun.connect
def failing_receiver(task=None, task_id="", **_):
    if task_id == "receiver":
        raise RuntimeError("in a receiver")
'''

SPY = """
import json

def keep(event, hint):
    wanted = ("transaction", "transaction_info", "contexts", "tags", "spans", "start_timestamp", "timestamp")
    with open("transactions", "a") as file:
        file.write(json.dumps({key: event.get(key) for key in wanted}, default=str) + "\\n")
    return event
"""
