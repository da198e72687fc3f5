import pytest

from evalhub.demo import bot


@pytest.mark.parametrize("topic", bot.TOPICS, ids=lambda topic: topic.name)
def test_the_bot_understands_every_question_of_its_topics(topic):
    assert [bot.reply(ask).topic for ask in topic.asks] == [topic] * len(topic.asks)


def test_release_14_promises_money_that_release_13_does_not():
    ask = "The sole is coming off after six weeks. Do I get my money back?"

    assert "guarantee" in bot.reply(ask, release=13).text
    assert "full refund" in bot.reply(ask, release=14).text


def test_the_endpoint_answers(client):
    answer = client.post(
        "/demo/chat/", {"message": "Are you human?", "session_id": "s-1"}, content_type="application/json"
    )

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "output": "I am the shop's assistant, a program. Say 'person' and I will pass you on. "
            "Is there anything else?",
            "session_id": "s-1",
            "tool_calls": [],
        },
    )


@pytest.mark.parametrize("body", ["", "[]", '{"message": 1}', '{"message": "\\u0000"}', "{"])
def test_the_endpoint_refuses_what_is_no_message(client, body):
    answer = client.post("/demo/chat/", body, content_type="application/json")

    assert answer.status_code == 400
