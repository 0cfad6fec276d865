"""Small scenes: the words and ideas that tasks are asked in, where people use them in daily life.

In a scene, `[a|b]` stands for one of the alternatives and `{thing}` for a word of the world, with a
capital in `{Thing}`. `{s}` is the person whom the scene is about, `{she}`, `{her}` and `{him}` are
that person's pronouns (`{She}` and `{Her}` at the start), `{o}` and `{p}` are two others.

No scene has the form of a task with its answer, or six words in a row that a template has.
"""

import re

from flan_jax.tasks.practice_world import sentence

_ALTERNATIVES = re.compile(r"\[([^]]*)\]")


def scene(world, rng):
    """Returns one of the scenes, told about people and things of a world."""
    return tell(rng.choice(SCENES), world, rng)


def tell(text, world, rng):
    """Returns a scene with its alternatives chosen and its slots filled."""
    text = _ALTERNATIVES.sub(lambda match: rng.choice(match[1].split("|")), text)
    return text.format(**_slots(world, rng))


def _slots(world, rng):
    """Draws the words for the slots of a scene; two words of a kind are different."""
    person = rng.choice(world.people)
    other, third = rng.sample([name for name in world.people if name != person], 2)
    is_woman = person in world.women
    slots = {
        "s": person,
        "o": other,
        "p": third,
        "she": "she" if is_woman else "he",
        "her": "her" if is_woman else "his",
        "him": "her" if is_woman else "him",
        "She": "She" if is_woman else "He",
        "Her": "Her" if is_woman else "His",
        "country": rng.choice(world.countries),
        "sport": rng.choice(world.sports),
        "month": rng.choice(world.months),
        "number": rng.choice(world.numbers),
        "material": rng.choice(world.materials),
    }
    for name, words in (
        ("town", world.towns),
        ("thing", world.things),
        ("food", world.foods),
        ("drink", world.drinks),
        ("pet", world.pets),
        ("color", world.colors),
        ("job", world.jobs),
        ("place", world.places_in_town),
        ("product", world.products),
    ):
        slots[name], slots[f"other_{name}"] = rng.sample(words, 2)
        slots[name.capitalize()] = sentence(slots[name])
    return slots


def _scenes(text):
    """Splits a text into its paragraphs, each a scene on one line."""
    return tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


_SCHOOL = _scenes("""
My little brother was stuck on his [science|grammar] homework. "I remember what we were taught, but
I can't solve the last item," he said. {s} sat down beside him and read the problem to him slowly.
[In ten minutes|Before supper] it was finished, and nobody had to help him with the rest.

The science test had five questions, and each of them had four options. One option was correct and
the others were wrong. {s} made a mark beside the one that {she} could trust most. "It was easy,"
{she} told {o}. "Simple, if you have been listening."

The examiner in {town} wanted a hard question for the advanced pupils. {s} wrote down four choices
and a key that says which is right. [Few|Most] pupils solved it. The others handed in solutions, but
no two of them agreed.

In the last round each correct reply brought double points. "Rule out what is impossible," whispered
{s}, "and see what is left." They ruled out {town}, and {other_town} was left. It turned out to be
correct.

"No books on the table, and no notes," said the teacher before the exam. "In task one you complete a
sentence, in task two you name a {job}." {s} did not fail. The ending came to {him} at once, and
{she} got [most|all] of the points.

In the creative writing class {s} handed in five sentences about ordinary people. "The first four
are fine," said the teacher's comments, "but the fifth leaves me puzzled. It lacks a conclusion."
{s} invented a new ending that suits the rest.

The teacher was reading the story of the {pet} to the whole class. One pupil, {s}, had learned it
all by heart and said each sentence before she did. Everybody laughed. "Then you can tell us the
next one, too," said the teacher, and closed the book.

On the blackboard the teacher wrote: "The {thing} is in the {place}, and it is {color}." {s} drew an
arrow from the word "it" to the noun that the pronoun stands for. "Correct," said the teacher. "The
antecedent is the {thing}: 'it' refers to the {thing}, not to the {place}."

"A pronoun such as 'they' points back to something earlier," explained {s}. "Its referent can be a
person or a thing. Grammar alone will not always settle it, but knowing the world often does." {o}
had understood [everything|almost everything].

During the dictation {s} could not catch every word. "Sorry, I lost track," {she} said. "Wait, say
it once more!" An attentive classmate repeated it, and {s} wrote the words down. It would be odd to
stop before the end.

My daughter has begun to read. Last night she finished a bit of her storybook about a {pet} and a
{job}. "'He' is another word for the {pet} there," she explained. She had understood it, although
nobody had drawn a picture for her.

{s} has a tutor for algebra. "Isolate the variable," says the tutor. "A linear equation with one
unknown has exactly one solution, the value that makes both sides equal." [If x plus 2 is 7, then x
is 5|If 3 times x is 12, then x is 4|If 2 times x is minus 6, then x is minus 3|If x minus 4 is 5,
then x is 9].

The calculator of {s} can't handle letters. The new equation solver can: an equation is its input,
and its output is an integer, that is, a whole number. A minus sign in front means that the number
is negative. {s} does the exercises without it, and then compares the results.

"Digits are the signs from 0 to 9," said the teacher. "The number [12|47|83] has two digits, the
number [5|6|9] has a single digit." {s} had to add and subtract all morning: [four and three make
seven|nine less two is seven|five and six make eleven]. Each result went into the answer box on the
problem sheet.

{s} lost marks in the English examination because of punctuation. There were no commas, no
apostrophes and no hyphens in {her} essay, and after the last word even the period was missing.
"Where a reader would pause or stop, there has to be a sign," the teacher noted in the margin.

The pupils had to copy a text from the board. {s} was too lazy to use capitals. "Names begin with a
capital letter," said the teacher, "and so does every sentence. Copy it out again, correctly, and
don't change the spelling."

A learner of English looked at two examples: "the bank of the river" and "the bank on the corner".
"They share a word, but not the sense," {s} told {o}. "If they were translated, there would have to
be two different words." It was a different meaning each time.

Two classmates compared their answers after the grammar test. {s} had "acceptable" where {o} had
"unacceptable". The sentence was "The {pet} sleep", and the answer key in the book said that its
grammar is not acceptable. So {o} was right, and {s} was wrong.

In the reading test {s} had to underline the phrase that answers the question. {She} went through
the paragraph twice and found it near the end. "Anything longer than necessary loses points," it
said in the instructions. So {she} underlined just [two|three] words.

The teacher asked {s} a question about the text. Without a word {she} put {her} finger on the right
line. "Is {she} pointing at the answer?" asked {o}. {She} was: "The {thing} is {color}," it said
there. The teacher gave {him} a tick.

"Multiple choice is easy," thought {s}. "There is a box in front of each answer, and I tick the good
ones." But several boxes had to be ticked, more than one to a question. {She} ticked only one, and
got half of the points that {she} deserved.

A student goes through {her} textbook with a {color} pen. {s} highlights every sentence that says
something about {country}, and nothing else. In the evening {she} knows the relevant facts, and the
rest of the page stays white.

In logic class the students learn what follows from what. "Give me an example," the teacher began.
"If every house in {town} is {color}, and this house is in {town}, then it must be {color}," said
{s}. "A sound conclusion," the teacher agreed. "The premises justify it."

"What is a premise?" asked {o}. "It is the statement that we take as given," replied {s}. "And a
hypothesis is a statement that we check against it. If the premise says that the {thing} is {color},
it entails that the {thing} has a color. It does not entail that the {thing} is [old|new|big]."

The teacher said: "{s} has a {pet} and a {other_pet}." Then she asked what can be inferred from it.
"That {s} has two animals," said {o}. "Certain." "That {s} likes animals," said {p}. "Likely, but
not certain," the teacher replied. "The sentence leaves it open."

Homework for the language class: put a handful of words into one sentence. The words were "{thing}",
"{place}" and "{pet}". "{s} saw a {pet} with a {thing} in the {place}," wrote {o}. You may change
the form and the order of words, but none of them may be left out.

The students were told to put a line into other words. The line was: "{s} lives in {town}." [{o}
handed in: "The home of {s} is in {town}." It was accepted, because the meaning had stayed the
same|{o} handed in: "{s} lives in {other_town}." It was not accepted, because the meaning had
changed]. The teacher called it a paraphrase exercise.

"Is it a fact, or an opinion?" asked the teacher. "'The {thing} costs {number} coins' is a fact,"
said {s}. "'The {thing} is too expensive' is an opinion." "And 'the {thing} is made of {material}'?"
"A fact again, if it can be checked."

{s} is studying for the final examination in translation. {Her} source language is English and the
target language is [French|Spanish]. "Render every line accurately," says the examiner, "in full and
without comment." In the evening {she} reads the source text and then {her} own draft.

For a pupil, the hardest part of a test is a trick question. "Beware," says {s}, "read slowly and be
careful." Once the text said that {o} had bought a {thing}, and the question was who had sold it.
Most of the class was tricked. The right reply was "unanswerable".

In the math round the pupils hold up a card with the result. "Subtract [two|three] from [nine|ten],"
says {s}, "and double it." Most of them count on their fingers. The whole round takes a quarter of
an hour, and the sums get harder.

A classmate of {s} missed a week of school. "You have to catch up on algebra," the tutor told her.
"In each equation, isolate x: what you do to one side, you do to the other. Don't skip steps, even
if the solver in the computer does." She learned to handle x and y alike.

"Let q stand for the price of a {thing}," says the algebra book, "and let p be the price of a
{other_thing}. Assume that q and p are equal." {s} finds the letters confusing. "p, q, c, b," {she}
sighs. "Whatever happened to numbers?"

The teacher keeps the results of all exercises at the back of her notebook. "It is a matter of
trust," she remarks. "Whoever copies them without any work learns nothing." {s} had copied one item,
and on the spot {she} was asked to explain how it is solved.

At the essay contest the lowest grade went to a text that was copied from the internet, and the
highest to {s}. "The author has a style of {her} own," said one of the judges. "The other texts are
fairly good, but their conclusions are weak."

Dictionary in hand, a learner studies the word "draw". "It is used across many expressions," {s}
explains: "to draw a picture, to draw a card, to draw a conclusion." "One expression, one meaning?"
"Compare the examples, and decide."

"My little daughter can read already," boasted {o}. "She puts her finger under the line and reads
aloud." "Does she remember what she has read?" asked {s}. "Ask her what the pronoun refers to, or
what the storybook is about." She had understood every bit.

The grammar of the sentence is fine, yet it makes no sense: "The {color} {food} is thinking." {s}
calls it correctly built. "What is acceptable in grammar may be odd in content. A fragment, such as
'the {food} of', is neither: it is not even built to the end."

The class is taking the next step in drawing. "Your suggestion for the background is good," the
teacher told {s}, "but the arrow is ahead of the horse." {s} had been drawing since early morning.
"You see further than others," joked {o}. {s} added some trees and continued.

Memory is a strange thing. {s} has forgotten the following week by the time it begins, and yet {she}
remembers every word spoken to {him} at school. "Hearing is believing," says {o}. "You hear a remark
and never lose it." Nothing completes an evening like {her} memories.

The choices of {s} at the end of school are many. One option is to study, another is to work. "The
options are all good," says the teacher. "You cannot fail. Settle on one, provide for the rest, and
don't worry too much." {s} wrote them in two columns and slept on it.

For a memory game the class has a set of cards with nouns and verbs. {s} turns one over, reads it
aloud, and the others say what word it belongs with. "You may not replace a card," is the rule. "We
allow one pass, and whoever forgets the following card drops out."

"In writing, a pronoun may refer to something that stands before it or after it," {s} explained at
the blackboard. "Much depends on it. Keep track of what is spoken of, and don't whisper!" The
referent was marked in {color}, so that no one would stumble.
""")

_NEWSPAPER = _scenes("""
At the newspaper, four editors share an office, and each looks after one subject: the affairs of
nations, sports, money, or science and tech with its gadgets. A wire report about [a {sport} team
falls to {s}|a new machine falls to {o}|the price of {product} falls to {p}]. Each section has a
page of its own.

The phone rings in the newsroom, and a reporter dictates: "{s} of {town} found a {color} {thing} in
the {place}." At the desk somebody makes a full report of it, and it will be in tomorrow's paper.
The headline is short: "{Thing} found in {town}". A headline has no final period.

{s} is a copy editor at a newspaper. All day {she} has to shorten reports, and {she} puts a headline
in large print above each one. "A good headline says it in eight words or less," {she} tells {o},
"and the first sentence gives the details."

Two newspapers cover the same story. The first writes that {s} won the race, and the second writes
that the race was won by {s}. [In both accounts the same thing happens|Their accounts agree|It is
merely the same news again, in other words]. So the archive could delete one of them without losing
anything important.

Two newspapers cover the same story. The first writes that {s} sold the {thing} to {o}, and the
second that {o} sold the {thing} to {s}. The words are nearly the same, but the names have been
swapped. Both accounts cannot be true: they contradict each other.

The radio station has news every hour, one sentence on each story. {s} has to prepare the sentences.
"Never mind the details," says the boss. "What is the actual news? State it so that listeners
understand it at a glance, or rather at a word."

{s} has to present the evening news, with only fifteen seconds for a report. Tonight {she} says:
"The {place} of {town} is open again. People had been waiting for {number} months." Then come the
highlights of the day in sports.

The fact checker got a note from the editor: how many coins did {s} pay? The checker went through
the story, found the figure and scribbled "{number}" under the note. Then it went back. Exact
figures matter in a newspaper.

Press conference in {town}. A journalist asked about the price of {product}, and then another
journalist asked what {product} would cost. "I have been asked that already," replied the speaker,
{s}, and read a passage aloud from {her} notes.

{s} works for a media monitoring service. For each client {she} collects what the papers have
written about a certain subject. Today {her} briefing brings together press clippings about
{product}, and an overview of {number} lines says what they have in common.

High above the square of {town} there is a news ticker, with room for eight words or so. "{Thing} of
{s} found in {place}," it said last night. Long reports are squeezed and boiled down until just the
gist is left.

A newsletter links to articles that are worth reading. {s} writes a short teaser under each title.
"I condense a text until only its core is left," {she} says. "Readers who want to know more click on
the link and get the whole story."

In the archive of the newspaper, every article has a card. The title is on the front of it, and on
the back there is a very short summary. {s} once found a card with an empty back, so {she} read the
article and supplied the missing summary.

Telegrams were paid for by the word. So {s} worded the message as cheaply as {she} could: "Arrived
{town} stop {thing} lost stop". A telegram had no commas and no dots, and needless words were
dropped. Any reader could reconstruct the full sentences.

An opinion page prints what people think. This week somebody maintains that {town} needs a new
{place}, and lists three reasons. "That is the thesis," says {s}, "and the reasons are its support.
Some arguments are better than others."

The story was long, but its main point was short: {s} had moved from {town} to {other_town}. The
rest was background. A summary leaves out quotes and side issues and keeps what is important. {o}
needed one plain sentence for it.

"Breaking news," said the voice on the radio, and in the middle of the sentence it went dead. {s}
had heard that somebody from {town} had won, but not who. {She} guessed that it was {o}. The next
morning the paper finished the sentence: it was {p}.

A colleague's report came in unfinished, just before a name. "{s} was seen in {town} by," it ended.
"I can't complete it," said {o} at the news agency. "The rest of the report does not say who it was.
Several people could have been there."

{s} is the secretary of a busy director. {She} notes on each message what it concerns. The subject
lines are all that the boss reads. "[New {thing} for the office|Lunch at noon|Trip to {town}]" was
the last of them, and he needed nothing else.

An email from {s} arrived without a subject. It said that the {thing} had come and that {o} could
pick it up in {town}. In the inbox {o} gave it a subject line, "{Thing} from {s}", so that it would
be easy to find again.

"Delete duplicates" is written on the wall of the archive. Two entries are duplicates if both make
the same statement. "{s} lives in {town}" and "{town} is the home of {s}" are duplicates. "{s} lives
in {town}" and "{o} lives in {town}" are not.

A magazine asked its readers for tips. "How do I clean a {thing}?" somebody had asked. {s} sent a
reply, and it was printed as the tip of the day. It was good advice, and it worked: [warm water|a
soft cloth|a little soap], and a bit of patience.

The press release was long, and {s} was busy. "Give me the substance," {she} asked. "Briefly: the
{place} will be closed in {month}," said {o}. That was enough. The release also told the history of
the {place}, but nobody needed that.

Several papers had reported the event, and each had details of its own. {s} combined them into a
digest in which each detail appears once. "Some facts are in a single source," {she} said, "so I
read all of them before I begin to write."

Training for young reporters in {town}. "Your opening must keep readers reading," says {s}. "The
headlines get bigger, the stories get shorter." As an exercise, somebody reads two articles and has
to paraphrase the main point of each. The paraphrases are then compared.

"If you read only one thing about {town}, let it be this," wrote {s} in {her} column. The column
appears every week, headed by a photo. Readers repeat its best remarks, and even critics quote it. A
title is still wanted for the next one.

Press clippings fill the office of {s}. For the monitoring of the media, {she} reads newspapers,
cuts out the relevant articles and keeps them in folders. The briefing mentions the author and the
date. "No opinions of our own, just coverage," is the rule.

The digest gives an overview of the week: "{town} gets a new {place}; {product} costs more." In the
core of it, three stories are boiled down to their gist. Tired users love it, for it saves them
hours. "The substance of the news, concisely put," as a reader said.

News agencies store each item under a category: the affairs of nations, business, games, gadgets.
{s} has filed a story about {sport} under games. "One tag is enough," {she} says. "It suits the
item." In the morning, editors choose among the categories.

The fact checker scribbles a figure in the margin, and the colleague's text goes back.
"[Twelve|Ninety], not [eleven|eighty]," it said this time. {s} is a checker, too. "Being exact is
half the job," {she} claims. "The other half is knowing where to look."

Somebody squeezed two pages into one line for the ticker. "A headline is a sentence that has lost
its small words," said {s}, "and a teaser is a sentence that has lost its end." At the newspaper
they shorten everything, even the lunch.

Paraphrase or quotation? The newspaper's rule is simple: whoever quotes must use the exact words,
between quotation marks. A reported phrase may be reworded. "The rewording must be faithful," says
{s}, "or else the speaker will complain about being misread."

A press release is read by a machine: it extracts names, dates and places, and the sums that were
paid. An extract in four lines goes to {s}. "I delete half and telephone about the rest," {she}
says. Dates and places are checked twice.

"I won't print rumors," said the editor to {s}. "Give me sources." {s} collected three, and the
story appeared in tomorrow's paper, as they say in the newsroom at night. The newspaper's own
archive helped. "Let us cover it from every side," said the editor, "and then combine the accounts."

A newsletter from {town} arrives once a week. It prints poems and recipes, and this week it links to
the site of the {place}. {s} reads it during lunch. "Headings in bold, text in gray, that is all the
art of it," says {she}. Still, {she} hopes to become its editor.

The news was rephrased by each of the papers. "{Place} unharmed after fire," one wrote, and "fire
spares {place}" was the headline of the other. The accounts, though differently phrased, were of
equal content. {s} assumes that both took it from the wire. It was no wonder, then, that they
matched.

The telegram of the correspondent was a string of words. {s} added the verbs, and the colleague at
the next desk the commas. "{month} {town} {place} opened," it became: "In {month} the {place} of
{town} was opened." The colleague clicked her tongue. "So cheaply sent, so richly printed!"

For a poster {s} has to reduce the essay of a professor to fifty words. "The essence of it is: read
more," {she} says. "It is a poster, not a textbook!" {o} suggests a list of keywords instead. In the
end it shows one large {thing} and the words "Read more".

The boss dictates letters while he phones. {s}, in the newsroom, tries to recover the sentences
afterwards. "He introduces one thing, he returns to another, and then he goes off." Opening the
notes, {she} finds only keywords. "Retell it in your own words," {o} suggests, "showing the main
points."

A synopsis serves those who are in a hurry. {s} writes them for several sites. "It must not be
longer than the following page," {she} says. "I highlight what matters, I supply a title, and I
paraphrase the rest. My paraphrases have been stripped of every joke, all in the imperative of
brevity."
""")

_DETECTIVES = _scenes("""
One page in the detective's notebook says: "Known: the window is broken. Wanted: the cause." Her
assistant, {s}, guessed that [a ball|the {pet}|the wind] had done it. "That is plausible," she said,
"more plausible than the other theory." The effect could be seen everywhere: bits of glass.

In court a witness testifies: "I saw {s} in the {place}." Later the jury hears from a lawyer that
{s} was in the {place}. [They believed it|Whoever believes the witness has to believe that as well].
Whether {s} took the {thing} is another matter: of that the witness said nothing.

"You are a witness," the lawyer said to {s}. "Testify briefly. Who took the {thing}?" "Unknown,"
replied {s}. "All that I know is that it was there in {month} and is not there now." The court noted
the answer, and {s} was questioned no further.

{o}, an armchair detective, keeps files of theories. The statement of the witness says that {s} came
home wet. "Perhaps it rained, or perhaps {she} fell into the lake," says {o}. The best theory is
kept, the others are crossed out.

The dog tore a letter in two. Under the sofa {s} found some scraps, and one of them matched the half
that {she} had: the two pieces fit together. "I will come home in" was on the first half, and
"{month}" was on the other.

{s} and {p} found a scrap of paper. "Look in the {place}," it said, and that was all there was. "So
the {thing} must be in the {place}," {p} said. "No," replied {s}. "It says where to look. It does
not say what is there."

The evidence was clear. The {thing} had been in the {place} at noon, and {s} had the only key. "Then
{s} must have opened the door," the detective concluded. "It follows. But why, we cannot tell from
this alone."

A claim needs evidence. Somebody claims that {s} owns a {pet}. "Is it backed up by anything?" "There
is a photo of {s} with a {pet}." "That supports it, but it proves nothing. The {pet} might belong to
{o}."

An eyewitness wrote: "A {job} ran to the {place}." A reporter who had not been there wrote: "A {job}
walked to the {other_place}." "The reporter's line is not accurate," said {s}. "It contradicts the
eyewitness, in the verb and in the place."

"{s} said that {o} was in {town}," the detective read. "Is that a fact?" asked {p}. "It is a fact
that {s} said it. Whether {o} was there, nobody knows for certain. Otherwise we could close the
file."

Two stories do not fit. {s} says that the {thing} was {color}, and {o} says that it was
{other_color}. At least one of them must be mistaken. "They contradict each other," says the
detective. "If one is right, the other is wrong."

A stranger came up to {s} and asked whether the {place} was open. {s} had just read about it in the
paper. "It has been closed since {month}," {she} told the stranger, "so no, it is not." That settled
the matter.

The log of the guard has an entry for every visitor: name, date and time. "Who came first?" asked
the detective. "{s} came at [two|three], {o} came at [five|six]. So {s} was earlier." To compare two
times is all that one had to do.

"The scene is clear," says the detective's assistant. "The {thing} was here, the {pet} was there,
and the door was open." {s} is puzzled. Was it {o}, or was it the wind? "Take the events backwards,
starting with the last," suggests {p}, "and each cause appears by itself."

An armchair detective solves cases without leaving the house. "The telephone, the notebook and my
wits are my tools," says {s}. "First I remove what cannot be. Then I pick, among the theories that
are left, the simplest." In the last case it was the butler.

In court, {s} testified as a witness. "I was there when the {thing} fell," {she} testifies, having
promised to tell the truth. "Who dropped it?" "That, I don't know." The judge believed {him}.
Another witness said that {o} had been seen elsewhere.

The reporter's account and that of the eyewitness were compared. The eyewitness had seen [two|three]
men, the reporter mentioned one. "To claim that there was one man is not supported," {s} wrote. "The
evidence implies that there were more."

A scrap from the sofa, a torn page from the dog: {s} builds the letter again, block by block. One
scrap agrees with the next, the edges fit. "The fragment with the date belongs above the fragment
with the name." So far, half of the puzzle is done.

Two people had to testify about the conversation in the {place}. "I was questioned for an hour," {s}
recalls. What {she} described was accurate: the {thing} on the desk, the open drawer. "I assume that
a trick was used," said the judge. The image on the video bears that out.

"Extract the facts, and leave the comment to others," says the detective, quoting an old book. {s}
has to introduce order into a pile of snippets. The unfinished letter stops in the middle, and a
candidate for its author was soon found: {o}. Getting the proof of it took months.
""")

_MOVIES = _scenes("""
"Thumbs up for this one!" {s} wrote a positive review of the film: the plot was clever, the scenes
were lovely and the ending was a delight. {o} was displeased. {Her} verdict and that of {o} differ,
as critics seldom agree.

The critic in {town} gave the movie one star out of five. "Dull, long and badly told," says the
review. Its tone is negative, and nobody can mistake the mood. The director was not pleased when he
read it.

Back from the movies, {s} sent {o} a message. "What a [wonderful|superb] film!" it said. So {s} was
pleased, and the feeling expressed was positive. {o} put a smile at the end of the reply.

It was late when {s} came home from the cinema and sent {o} a message. "What a [boring|dreadful]
film!" it said. So {s} was displeased: the sentiment of the message was negative. {o} decided to
watch something else.

The cinema keeps two folders of comments from its audience. Praise goes into the positive folder,
blame into the negative one. "A great night!" is in the first, "never again" in the second. {s}
sorts them by sentiment every Monday.

Tonight they are showing a film about a {job}. "Should I go?" asked {s}. {o} had read the reviews.
"The critics agreed on the music: it is superb. Their main reservation is the length. It all comes
down to this: go, but bring a pillow."

In the film magazine there is a line under each title, which blends what the critics think into a
consensus of opinions. Under "The {thing}" the line says: "Charming and a little slow." {s} wrote
it, and most of the reviewers would sign it.

A review can lean both ways. "The {food} was cold," {s} wrote, "but the service was kind, and
overall we had a great evening." One sentence leans towards no, the others lean towards yes, and as
a whole it speaks for the restaurant.

You have found a review without its stars. "The hotel in {town} was [awful|miserable]," it says,
"and we left the next morning." What rating might it have been? One star, {s} guessed, or perhaps
two. A customer who is pleased sounds different.

A customer has commented on the shop of {s}: "Friendly people and fine {product}!" "That is good
publicity," said {s}. The next customer had had a bad experience, and left two stars. Feedback of
both kinds is read by all who work there.

In the final scene of the film {s} stands alone on the bridge. So far nobody in the audience has
made a sound. Then the {pet} comes back, and everybody claps. It was the natural end for a story
like this.

{s} writes a blog about movies. "I left the cinema with a good impression," {she} posted. "It is
honest, it is short, and the characters behave like real people." The overall judgment of {her} blog
was four stars.

At home {o} reads the reviews of the play aloud. "Splendid," says one. "Worthless," says another.
"They cannot agree," says {s}. "The first reviewer likes it, the second does not. I will have to see
it and judge for myself."

The author imagined that the book being reviewed was a great one. The attitude of the critic was
easy to see, even between the lines: he had not liked a single page. "Negative," said {s}, and put
the paper away.

{s} and {o} are choosing a movie for tonight. "This one is based on a novel," says {s}, "and that
one got a good rating." "Which way do you lean?" "I lean towards the novel." In the end they watch
neither, for there is nothing to eat in the house.

"The mood of the film is hard to describe," writes the reviewer. "It leans towards sadness, then
comes the music." In the reviewer's words, it "feels like rain in summer". {s} copies the quote into
{her} notebook and reads what other viewers felt.

The polarity of a word is its feeling: "lovely" is positive, "awful" is negative. {s} judges tweets
by the polarity of their words. An attitude may also appear in what is left unsaid, and slang can be
tricky. For emoticons there is a list.

A critic passes judgment on a play in the time it takes to put on a coat. "Thumbs down," {s} once
heard a critic say on the stairs, before the final act. The critics' verdicts were read aloud at
breakfast, and the author laughed at each.

"Vibes are not arguments," remarked {s}. "You feel that the movie is bad. Justify it!" {o} tried:
the plot is thin, the jokes are old. "These reasons support your claim," {s} agreed, "even if they
do not prove it."

The reviewers of the film had to put their consensus into one word. "Fluent," said one. "Rich," said
another. {s} blends both in {her} column: "A rich, fluent film." The viewer's word counts for more,
though, and it was "long". Reviewed by {s}, by the way, it was still a success.

Critics' opinions are based on taste. "The reviewer's taste isn't mine," says {s}, "but his column
makes me curious. If he dislikes a film, I may like it." So a negative review can express a positive
thing, if one knows how to read it.

"Which of your inventions are you proud of?" the host asked {s}. "The invention of nothing is what
I'm proud of," {she} said, and the guests laughed. The show was half over. "Don't forget who is
driving," {o} whispered. The chat went on for a while.

The expression on the face of the actor says more than the plot. "Its polarity is plain," {s} wrote:
"he suffers." {o} would not invent such things. "Continuations of good films are bad, as a rule,"
the review ends. {s} kept it, keeping also the ticket, and could hear the music for days.
""")

_QUIZZES = _scenes("""
Every Monday there is a quiz at the pub in {town}. The quizmaster reads out the questions, and each
team writes on its answer sheet. {s} is in a team with {o}. "Needless words lose points," warns the
quizmaster. In the end they scored {number} points.

On the front of the trivia card there was a question about {country}, and printed on the back was
the answer. General knowledge was never the strong side of {s}, and {she} had no idea. "A whole
sentence is not required," {o} whispered. "Quick, just say something!"

{s} was on live television for the first time. The host asked what was hidden behind the door. "It
has to be a {thing}," guessed {s}, and the audience clapped. The other guest had guessed {product}
and left with nothing.

The quiz book has its questions in the left column and the answers in the right column. The
solutions to the puzzles are in the appendix. One of them is missing, so {s} filled in the blank by
hand. A few words were enough.

The quiz master has six drawers, and sorts the cards by the type of the answer. "Who" questions go
into the drawer for people, "where" questions go under location, and "how many" is numeric. What
short letters mean is filed under abbreviation, and "why" needs a description. "What {pet}s eat" is
about an entity.

At a quiz show, {s} is the referee. If the card bears out what a contestant says, there is a point
for it, otherwise there is none. "{country}," said the contestant. [The card said {country}, so {s}
awarded the point|The card said something else, so there was no point for him].

"I ask, you search, and whoever finds the answer calls out," said {s}. It was a game that the family
played with an old encyclopedia. {o} skimmed the page on {country} and saw no answer. Perhaps there
was none. "Unanswerable!" was the call in the end.

The science museum has a screen with questions, and below it there are some buttons. {s} watched a
child press the first, then the next. Only the last one lit up. "You are supposed to choose before
you press," said the guide kindly.

{s} is getting ready for a trivia night. On each flash card there is a question, and the answer is
on the back. One card came without its answer: "Which town is known for its {product}?" {o} could
look it up, and told {him} it was {town}.

The book of puzzles was so old that the print had faded. "Only the solution is readable," said {s}.
"We have to work backwards and invent a question for it." The solution was "a {thing}". "What is
made of {material}?" suggested {o}.

The contestant had one last question. "True or false: {town} is in {country}." There was no time to
consult anyone. "True," said the contestant. [The host smiled, for it was true|The host shook his
head: it was false]. {s} had watched it all on television.

"Guess what I have in my hand," said {s}. "Is it {color}?" asked {o}. "Yes." "Is it made of
{material}?" "No." "Then it is the {thing}." The guess was right. It takes a few questions, and each
answer rules something out.

The jury rates each pair of dancers with up to five points. The lowest grade is 0 and the highest is
5. {s} and {o} got a four, rounded to the nearest whole number. "We deserve a five," {s} complained.
"It is a scale, not a scandal," said {o}.

A quizmaster has to be fair. {s} reads each question once, at normal speed, and repeats it if
required. The cards come in packs: flash cards for speed, trivia cards for fun. Backwards or
forwards, the teams go through them all until one of them wins.

In the game show two teams score points by turns. Whichever team presses the buttons first may
reply. The contestant in {color} never waited until the end of the question. "Be careful," called
the referee, "and listen before you act!"

The referee checks what was said against the card and against what the host's papers say. If they
bear the contestant out, {s} nods. "My task is to award points, not to guess," {she} says. A close
call is decided by two referees, namely {s} and {o}.

"I am wondering about something," said {o} at the quiz. "The question was: is the {place} open? And
the proposed answer was: since {month}. Is that an answer?" "It isn't," said {s}. "A proposed answer
has to answer what was asked, or the point is lost."

"Aren't you the one who won last week?" asked the host. "I bear the name by chance," {s} replied.
{She} had been a contestant before, and the cards had been hard. "What is the moment's best {job}
called?" "{o}!" The host couldn't bear to say no.

Hey, what is halfway between two and six? It is a question for a rainy day, and {s} has a lot of
such questions. {She} doesn't even need a query box. "The context settles it," {she} says: "with
numbers it is four, with towns it is whatever lies in between."

{s} proposed a new round for the quiz: each team gives a suggestion, and the other guesses what is
offered. "It must not be necessary to move the arrow," {she} said, explaining the board. "It starts
in the square, and each correct reply moves it ahead." The proposal was accepted.
""")

_LIBRARY = _scenes("""
{s} is a librarian who never guesses. A visitor asked where {product} comes from. {s} opened an
encyclopedia, found the line and read it out word for word. If there is no answer on the page, {she}
says so: "It cannot be answered from this."

Many a question cannot be answered from a text. The article on {town} tells when the {place} was
built, but it does not say by whom. "Unanswerable," {s} wrote beside the second question. It is
better than to make something up.

{s} bought a second-hand book in {town}. Its previous owner had underlined words and made notes in
the margin: "[here 'they' are the sailors|the same idea as before|a fine passage|not true!]". {o}
likes such books, and {p} likes clean ones.

The entry on {town} in the encyclopedia opens like this: "{town} is a town in {country}, known for
its {product}." Two authors had a quarrel over the wording of it. In the first draft it had been
"famous for {product}". The difference was merely one of style.

{s} cut a paragraph out of a newspaper and lost the rest. It was about a {place} and a {job}, and it
had no heading. "What was the title of the whole article, most likely?" asked {o}. Neither of them
ever found out.

In the archive {s} is restoring a damaged transcript. Half of it is legible, and the remaining words
are lost. For the first gap there are several candidates, and {she} puts in the one that fits what
stood before and after it. The addition is marked.

"The answer is hidden somewhere in these pages," said {s}. {She} was searching for the name of a
{job}. "Have you tried the section on {country}?" asked {o}. There it was, between two maps. "Now I
can stop searching."

Ancient scribes wrote without gaps, so that a line looked like one long word. To read it, modern
readers have to find the boundaries first. {s} wrote "thecatisred" on a sheet, and {o} segmented it:
"the cat is red". With spaces it is readable.

A reader asked the library: how old is the {place} of {town}? The document that {s} found contains
the year in which it was finished. From that the age was worked out. {s} sent a brief reply with the
date and a copy of the passage.

The visitor typed a word into the catalog of the library. Nothing matched. "Check the spelling," {s}
suggested, "or use a more general word." Then the screen showed [nine|twelve] books on {product},
each with a number and a short description.

"Read between the lines," {s} always says. The author of the diary never says outright that she is
sad, but an attentive reader can tell. It must be inferred: she stays in her room, she eats nothing,
and she writes about the rain.

The blog entry did not explain why {s} had left {town}. It takes a little common sense to guess it:
there was no work, and a friend in {other_town} had offered {him} a job. It is not certain, but it
is the most plausible reason.

{s} likes to read the paper aloud, and stops halfway, so that one sees who is still listening.
"Yesterday a {job} from {town} found," {she} read, and waited. "A {thing}?" asked {o}. "No, a
{pet}!" {p} had been dozing and missed it all.

While {o} was reading to {him}, {s} dozed off. When {she} woke up, the tale was over. "What did I
miss?" "The best part. Picture it: a {pet} in the {place}, and nobody dares to move!" {s} could only
imagine the rest.

"Have you read the novel about the {job}?" {s} asked. "Half of it," replied {o}. "It breaks off
where the {job} opens the letter." The end had been cut off by somebody, so the copy in the library
was incomplete. The continuation is in another volume.

The librarian received a request: "Please cite the line about {product}." {s} skimmed the
encyclopedia, found the entry, and underlined the sentence. It provides what the visitor's letter
had asked for, so {she} cites it and encloses a copy of the passage.

An ancient text without punctuation puzzled {s}. Where does one sentence end and the next begin?
Punctuating it took a month. "I had to insert every comma myself," {she} said. "The modern reader's
eyes need some rest, and the scribes provided none."

The end of the document had faded, and one span of the text was illegible. Having tried everything,
{s} put [dots|a blank] in its place. "Otherwise readers would take my guess for the original," {she}
noted. A note below the line explains the gap.

Underline it, tick it, or put a cross beside it: readers leave their marks in books. {s}, a
librarian, removes them. "There were two arrows drawn on the page about {country}," {she} tells {o}.
"And in the margin someone wonders whether any of it is true."

A visitor wanted {s} to explain the difference between "unknown" and "unanswerable". "Unknown means
that nobody knows yet," {she} replied. "Unanswerable means that this text can't tell you, though
another might." The context decides which is the case.

Titled "Life on a Farm", the old book has lost its spine, and {s} mends it. "A book in this state
deserves care," {she} says, pointing at the cover. It takes a while, and then it goes back to its
place among the others.

The study of {s} is about readers. "Readers differ," {she} found. "Some shun the preface and begin
in the middle. A poet I know shuns all books with pictures." The publication, titled "How People
Read", was accepted by a journal. A short excerpt appeared in the paper.

{s} came across a damaged letter, and managed to reconstruct it. Only two words were legible,
"except" and "meanings". "A transcript of nothing," joked {o}. But the restoring of it brought the
shortest love letter to light: "I have no words except yours, whatever their meanings."

A reader's letter asked the encyclopedia for its sources. "Which book provides the number?" it said.
{s}, one of its authors, consulted {her} drafts. "It was taken from a textbook on {country}," {she}
replied. "The upper figure is the better one. We will cite it."

A visitor's guess about the age of the {thing} was close. "The nearest I can get is a hundred
years," said {s}, and the label said ninety. "Guided by what?" asked {o}. "By the scale of the
pattern. On a scale from one to five, its similarity to the older pieces is four."

The definition in the dictionary was wrong, and {s} wrote to the editors. "A 'scrap' isn't a meal,"
{she} noted. "Scraps are bits that are left over." In the next edition the definition had been
reworded. "They don't scribble scribbles any longer," {she} said, rather pleased.

The novel opens with a storm. Before closing it, {s} scribbles a remark into the margin: "Too many
clouds." The previous reader had left a remark, too: "Wait until page forty." {s} did so, and on
page forty a letter came, torn, with half the words missing.

The writer {s} left a manuscript about the return of a sailor. "The likeness to life is great, if
moderate in length," a critic said. Getting it into print was hard. Part II is lost altogether. "We
follow him to {town}, and there it stops," says the librarian, "so you may consult only part I."
""")

_COMPUTERS = _scenes("""
A search engine receives a query, looks through millions of pages, and displays the results, the
best match at the top. Under each link there is a snippet. {s} typed "{product} {town}" and clicked
on the first result. It contained the information that {she} was after.

The new computer program lists four continuations of a text. "Three are nonsense," {s} told {o},
"but one makes sense and is good enough to keep." To prove that a program understands language, one
has to let it finish sentences.

At the help desk there is a log of all callers: the name, the date, the inquiry, and what was
replied. "Most callers want a single fact," says {s}. "They ask for a figure or a name, and not for
the background." The average call takes two minutes.

{o} has a voice assistant in the kitchen. "How many cups of {drink} do we need?" {s} asked.
"[Two|Three|Four]," it said, with no explanation around it. {o} doesn't trust it, but it sounds
natural enough.

The robot of {s} can run two programs. Of the physical world it knows nothing. Its owner told it to
dry the {thing}, and it put the {thing} into the lake. "That is not what I wanted," said {s}, and
selected the other program. This one reached its goal.

In the old database, everything is in lower case, even names. "{town} belongs to {country}" is
stored there without any capitals. {s} had to restore every entry to its original case, one letter
after another. The words and the punctuation stayed as they were.

The space bar was stuck while {s} typed a message, so all the spaces were missing. "iamin{town}", it
said. {o} could make it out, but it took a moment. "Insert a space wherever a word ends," {s}
replied, "and buy me a new machine."

When the file was saved, all commas and dots were stripped from it. {s} looked at the long string of
words and had to add the punctuation again. "A program can read a scanned page," {she} said, "but
somebody has to check what it has produced."

An online form accepts letters and digits, and no other character. {s} wanted to enter the name of
{her} shop, with two hyphens. "Remove every symbol," said the screen. The name went through without
them, and nothing else was changed.

The knowledge base stores facts as triples of subject, relation and object. "{town}, country,
{country}" is one of them. In natural language it says that {town} is in {country}. {s} calls this
step verbalization: data in, prose out.

In the spreadsheet of {s} each row is a record, and its cells are attributes with their values.
"Thing: {thing}; color: {color}; price: {number} coins" is one record, with a semicolon between the
fields. {o} turned it into flowing text: "The {color} {thing} costs {number} coins."

The database of the museum lists concepts and tags for each image. "{thing}, {material}, {place}"
are the tags of the first photo, separated by commas. {s} has to write a caption that mentions every
one of them: "A {thing} of {material} stands in the {place}."

The new messaging app can condense unread chats, and many users skip the chats themselves. Instead
of [ninety|forty] messages, {s} sees one line: "{o} can't come, and {p} brings the {food}." {She}
likes that, but not everything that matters gets through.

In the browser there is a button for English pages, and it turns them into Spanish. {s} pressed it
on the site of {town}. The page was not available in Spanish yet. "Please contribute a translation,"
it said, and provided an empty box.

A program translated a sentence into a foreign language, and the result back again. Before: "The
{thing} is in the {place}." After: "The {thing} is [located|found|to be found] in the {place}." Its
meaning had come through unharmed, {s} noted.

{s} moderates a forum. Somebody posted a question that was a duplicate of an older one: it asked for
the same thing in other words. So {she} closed it and put a link to the older question beside it.
One good answer will do for both.

On the website of the town, frequently asked questions have a page of their own. "When is the
{place} open?" is a heading there. A customer wrote in: "At what time can I go to the {place}?" The
intent behind both is the same, so {s} sent him the link.

"Is asking when the {place} opens the same as asking when it closes?" "No," said {s}. "The queries
are similar, but they are not interchangeable. If I answer the first, the second person still
doesn't know."

Data: {town}, {country}, {product}. That was all the record had. The visitor could not make sense of
it, so {s}, who looks after the archive, explained: "{town} is a town in {country}, and it is known
for its {product}."

{s} studies social networks, and collects posts in which people sound [happy|sad]. Slang or a typing
error is of little importance to {him}. All emoticons were removed. Each tweet has at most one
hundred characters. {o} tags them by their tone.

Scrolling through {her} timeline, {s} saw that somebody had posted a picture of {food}. "Good
vibes," {she} commented below it. {o} had a bad day and posted only a rain cloud. One post is
positive, the other is negative.

The user typed a string of letters into the search field, and the engine responds with a list. It
highlights the words that match. {s} reads the snippets, follows a link or two, and stops searching
when the figures agree. The rest of the results stay unread.

"Return, space, delete: learn these three first," says the typist to {s}. The space bar is the
widest, and keeping a steady beat matters more than speed. A sign such as the semicolon takes two
fingers. Wherever {s} makes an error, the machine stops.

{s} is scanning old recipes. The program has produced text from the scanned pages, but it dropped
the boundaries between lines, and the periods are gone. Reconstructing what each segment said is a
task for a human. "{Food}, stirred" it says, or perhaps "{Food} stirred".

A knowledge base wants subject, relation and object separated by semicolons, and its entries on
lines of their own. Each object may be a value or a thing. {s} translates such triples into plain
prose: the verbalization of a triple has to be one proper sentence.

In the spreadsheet a value was in the wrong column, and the cells were not separated. "Is the color
{number}, and the price {color}?" {o} laughed. {s} fixed it at once. Concepts have names, and
records have fields; the actions on them are called functions.

The forum has a rule: search before you ask. A duplicate gets a link to the older thread, and the
moderator closes it. {s} has to moderate [twenty|thirty] posts a day. "If the intent is the same, I
close it, and if it is only similar, I don't," {she} says.

"Dear app, please stop," groaned {s}. It displays a sign whenever somebody texts, and the tablet
rings with each of the messages. Chats from school, chats from the club, all unread! {o} showed
{him} how to turn off the sounds. Messaging became easy again.

On social networks {s} is careful. A tweet is quickly composed, and what you post may come back to
you. "To compose a good one takes thought," {she} says. {Her} own posts qualify as dull: {food},
{drink}, and the {pet}.

The voice of the assistant turns text into sound. On request it speaks slowly, and it can repeat,
stop, or go on. {s} asked it to translate "{food}" into Turkish. "Translating," it said, and then
came one word. {o} could not say whether it was correct.

The program on trial had to give a reasonable addition to each of [twenty|thirty] stories. {s} read
the endings. "Some are sensible, and some are nonsense," {she} told the builder of it. "Expect it to
improve," was the reply. Its next continuation was about a {pet}.

A computer has to build sentences from blocks. "The builder of the program put in three blocks," {s}
explained: "one for the person, one for the verb, one for the thing." In fluent English it says:
"{o} tore the {color} paper." The nouns and their forms come from a list.

The query of the user contains the word "{product}", and so does the textbook page. The engine
highlights it in {color}. "Retrieving is easy," says {s}, "understanding is hard: a page may contain
the words and still not respond to the inquiry." {o} nods, with some reservation.

The browser of {s} shows an error in red: "This page was removed." {She} suggests to {o} to look for
a copy in the archive of the web. "Nearly every page is stored somewhere," {she} says. "Pages are
deleted by their owners, and the copies remain."

{s} is online all day, typing or scrolling. "I'm on top of things," {she} claims. "Label it work,
then it is work." {o} set up a rule: a normal day, then offline at eight. Since then they have been
talking more, and it has been good for both of them.

To clear the disk, {s} deletes duplicates. "Clearing space is like weeding," {she} says. The program
lists files with their length in characters, and pairs that are matching are marked. "Check before
you delete," it warns, "for what is gone is gone." Then it asks for the user's consent.

Upper case, lower case, digits, and one sign: the password of {s} needs them all. The form checks
it, and accepts it in the fourth round. "By the time I can enter," says {s}, "I have forgotten what
I wanted." {o} keeps passwords in a drawer.

In the appendix of the manual {s} found the two programs that were missing. They could be included
without changing the others. "My mind is at ease," {she} said. Each program displays a clock,
completes one job, and responds when it is asked. The files themselves stay in one folder.
""")

_TRANSLATORS = _scenes("""
{s} is an interpreter. Whatever the host says in English, {she} says in
[French|Spanish|German|Turkish] for the guests. "The {thing} is a present," said the host, and the
guest smiled when {she} had understood. A good translation leaves nothing out and adds nothing.

My grandmother knows only one language, Spanish. "What does it say on that screen?" she asked {s}.
"It says that the {place} is closed," {s} told her in her own language. Then she asked what the
screen was called in English, and repeated the word with care.

{s} has a pen friend in Lyon whose English is poor. "I'm stuck," {she} tells {o}. "How do I put 'I
like {food}' in French?" {o} has been learning French for a year, and still such things are hard.

The owners of the site hope that people in Madrid, or even in Mexico City, will read it. So every
piece of it has to be translated into Spanish. {s} does the translating, and {o}, who is a native
speaker, reads it through. Some of the pages are already bilingual.

An English newspaper quoted a Paris one. The quotation was in French at first, but of course the
readers wanted it in English. "I can't read French," said the editor. {s} rendered it accurately:
"The {product} of {town} is the best in the world."

Whatever the office of {s} publishes must appear in two languages. The version in English is ready,
and the French one has to be drafted. The source is on the left, the translation is on the right,
and a line on the left corresponds to a line on the right.

Two friends are interpreting at a wedding. {s} speaks Czech and Finnish, and {o} speaks Romanian,
Russian and Danish. "Name a language that none of us understands," says {s}. "Turkish," answers {o},
"though I have begun to learn it."

A translator offered two versions of a line. Version one: "{s} is fond of {food}." Version two: "{s}
likes {food}." "How close are they?" asked the author. "Either would do. The likeness is almost
perfect, and nobody would miss anything."

A translator wonders what "they" stands for in one line, because in {her} language the word for
women differs from the word for men. {s} asked the author. "The {job} and her daughters," came the
reply, and that decided it.

A bilingual corpus is a collection of texts in two languages. A language and a colon stand in front
of each line, as in "English: the {thing}". {s} contributes an example every day, first in English,
then in [Danish|Finnish|Czech]. It is slow work.

A report was sent out on the English wire of the agency, and soon the [German|Russian|Romanian] wire
will need it, too. {s} is on the desk tonight. {She} reads the text, takes a breath, and translates
it line by line. Nobody will notice that it was once English.

The interpreter spoke after each speaker, in French. "Render the meaning, not the words," is what
{s} had been taught in Lyon. {She} was interpreting for a minister from Paris, and then for a singer
from Madrid. Of course {she} omits nothing, not even a joke.

To translate a poem is to lose something. {s} publishes poems of {country} in English, and a colon
of {her} colleague's caused a quarrel. The corpus of such poems is small. "Readers at home are my
target," {she} said, "and foreign words have to be explained."

"Available in [German|Czech|Danish|Finnish|Romanian|Russian|Turkish]," it says on the cover. {s},
the owner of the press, is proud of it. "Translating took a year, and we had the source text checked
by a native. The city of Mexico has ordered twenty copies, and Madrid hopes for more."

A letter in Spanish reached {s}, and {her} family's Spanish was gone. "Let me look," said {o}, and
went through it with a dictionary. "'Casa' is a house. It is supposed to mean that the house in
{town} is yours!" They hope that it is so. The rest was not yet translated.

Two versions of a sentence in Spanish lay on the desk. The difference was small: one word had been
replaced. "Which one shall we send?" asked {o}. {s} compared them with the English original. "The
first is faithful; the second omits the color. The likeness is not enough."
""")

_MESSAGES = _scenes("""
{o}: Have you seen my {thing}? {s}: Look in the {place}. {o}: Found it! Thanks. That was the whole
chat. In short, {o} was missing the {thing}, and {s} knew where it was.

{s}: Are you coming tonight? {o}: I'm too tired, sorry. {s}: Tomorrow, then? {o}: Okay! So the
outcome of the conversation is that they will meet tomorrow. Retold in the third person: {s} wanted
to meet {o}, who put it off for a day.

A friend was telling {s} something over the phone when the line went dead. {s} has two guesses about
what came next: either {o} found the {thing}, or {o} lost it. "The first is more likely," {she}
thought. "{o} usually finds things."

The family's tablet was full of messages. {s} was tired and had no wish to read them. "Just tell me
the result," {she} asked. "{o} arrives in {month}, and {p} sends the {product}," came the answer.
Two lines, and {she} had missed nothing.

{s} wrote a message to {o} before the train left. "Dear {o}, the {thing} arrived. It is {color} and
lovely. Yours, {s}." Above it, in the subject field, {she} entered two words: "Thank you". Then
{she} pressed the button.

"All I can see on my phone is what the message is about," said {s}. "'Party in {month}', it says."
"I can imagine the message itself," replied {o}. "It invites us to {town}, and we are to bring
{food}."

In the new play of {s}, the characters only text each other. The last scene is missing, and the
author has left nothing but an outline: "{o} lends {p} the {thing}; {p} loses it." From that
somebody is to write the scene.

During the long hike {s} had heard no news. So {o} told the story in one go: the {place} had burned,
nobody was hurt, and a new one was to be built. {s} could hardly believe it.

A boy asked his grandmother what was in the {thing}. She knew, and never made long speeches.
"{Food}," she said. The boy wanted an explanation, and she whispered that it was for {s}. He did not
ask any further.

The taxi driver turned around and asked {s} where to stop. "At the {place}, please." {She} was about
to get out, so {she} kept it brief. A driver hears many stories, and most of them have no end.

"Be honest," said {s}. "Do you like my {thing}?" "Yes and no," {o} replied. "I like the shape, and I
don't like the color." The feedback was mixed. {s} had hoped for praise, and got a reason to paint
it.

{s} called out the steps, one after another, because the hands of {o} were full. "Take the pan. Put
in the {food}. Wait." The manual had much longer explanations, but the bare commands were enough for
the moment.

Dear diary, today {o} and I could not agree. I said that the {pet} is asleep, and {o} said that it
is dead. We went to look, and it opened one eye. So the claim of {o} was false, and I was right.
Your {s}.

Dear diary, it was an ordinary day. In the morning I worked, in the afternoon I met {o} in the
{place}, and in the evening I read. Nothing worth mentioning happened, except that the {pet} ate my
{food}. {s}.

The phone rang while {s} was having a bath. "Imagine, I have been on television!" said the caller.
It was {o}. They were talking for an hour, and the background noise was awful. "To make it short,"
said {o} in the end, "I won." A friend phones for good news, too.

Dear diary, I missed the train, dozed off on a bench, and got home at night. {o} was worried.
"Everyone has a phone, and you don't use yours!" I keep forgetting that. Tomorrow I will behave
better. At least I whispered when I came in. Your {s}.

{s} had lost {her} keywords for the crossword: "seldom", seven letters? "Rarely has six," said {o}.
{She} had a puzzle in front of {him}, a cup of {drink}, and the whole evening. "Words of a feather,"
said {s}. It was a quiet evening, to be summed up in a word: lovely.

There was an exchange of letters between {s} and {o}. In the first, {s} asked for the {thing}. In
the second, {o} explained why it had been sold. Since then they have been exchanging nothing but
cards. Even a card takes a week from {town} to {other_town}.

"Kindly hand this to the driver," {s} wrote on the envelope, and gave it to a boy. The taxi brought
it to the house of {o}. Inside was a note in lower case: "come at six, bring {food}, tell nobody."
{o} was puzzled until six, and happy after.

The grandmother of {s} used to send telegrams. "Fifteen words, paid by the word," she recalls, "so
we left out whatever could be left out. 'Arrived safely' needs no more explanations." In her drawer
there are [twenty|thirty] of them, tied with a ribbon.

The sender of the mail had left the subject line empty. "Semicolons everywhere, and no subject,"
muttered {s}, the secretary. She told her boss: "It concerns the {thing}." It was still in the inbox
when the director came back from lunch, at the bottom of it.

The caller kept asking for {o}, and {s} kept replying that she was the wrong person. "Exchange of
numbers, that's what it must be," said {s}. Callers like that phone at night. In the end the caller
had nothing to add, so they hung up, having wished each other well.

{s}: Could you summarize the chat for me? I have unread messages from a whole week. {o}: Sure. {p}
was looking for the {thing}, and somebody's cousin found it. {s}: Thanks! To retell it, you need
[two|three] lines, and the chat had [ninety|fifty].

Instead of sending a card, {s} sent a voice message. "By this note I'm sending you my love," it
said, "and a remark: don't forget the {thing}." {o} heard it twice, with a smile, and received a
second note, quite similar, in the evening.
""")

_TOWN = _scenes("""
At the tourist office of {town}, a record consists of attributes and their values: "name: {place};
food: {food}". For the brochure, {s} has to turn them into flowing text: "In the {place} you can eat
{food}." Every detail should be mentioned, and nothing may be made up.

A restaurant guide describes each place in a few lines. {s} wrote about one in {town}: "A simple
room, a kind host and good {food}." A guest who wants to know what sort of place it is will find all
that is needed there.

{s} owns a shop that sells {product}. Somebody described it on the web: "[Lovely|Excellent] service,
and the {product} is fine." "Good publicity," said {s}. It is the kind of review that brings in new
customers.

The announcer at the station of {town} reads from a list. "The train to {other_town}, {number}
minutes late," it says. Aloud {she} makes a full sentence of it. {s} has been an announcer for
years, and {her} voice is known to everyone.

At the post office {s} could not read the address. The last line was crossed out, and above it
somebody had written "{town}". "Where should it go?" asked {o}. "To {town}. What is crossed out
doesn't count."

The chess club of {town} has [twenty|thirty] members. {s} beat {o} last week, and {o} beat {p}. "So
{s} is the best," concluded a visitor. "That doesn't follow," said {o}. "{s} and {p} have never
played one another."

Recipe for {food}: first wash the {food}, next heat the pan, then stir and wait. {s} explains it at
more length, so that a beginner understands it. {o} likes it bare: "Wash, heat, stir, wait." Both
versions tell you to do the same.

On the notice board of the {place}: "Lost: a {color} {thing}. Whoever finds it, please contact {s}."
Under it somebody wrote: "Found a {other_color} {thing}. Is it yours?" It wasn't, for the color did
not match.

A how-to guide has a heading in bold type over each step. The headings are short commands in the
imperative: "Take the {thing}. Open the lid. Pour in the {drink}." {s} reads only the headings and
leaves out the rest, and as a rule it goes well.

A poster in {town} had room for only a few words. {s} had to reduce the long directions to their
essence. "Go to the {place}. Turn left. Ring the bell," it said in the end. Its wording was clear to
everyone.

In the town hall they debate whether {town} should build a new {place}. The motion was put by {s}.
{o} was against it: "We lack the money." {p} maintained that everyone would benefit. {s} kept the
minutes, in which a speech is one point.

{s} gave a speech in favor of a new {place}. The contribution was long, but it rests on one
assertion: children need somewhere to play. All of {her} arguments were driving at that. In the
discussion nobody brought any reason against it.

Two friends cannot agree whether {town} lies in {country}. They look it up on a map. "The verdict is
yes," says {s}. "So you were right, {o}, and I was mistaken." To agree is easy once there is a map.

"It is impossible to say who will win," {s} told the reporter. "Both teams are good at {sport}." The
reporter wanted a yes or a no, but there are questions that nobody can answer before the event.

A photographer showed {s} a photo. "There is a woman with a {color} {thing} in it," said the
caption. {s}, who cannot see, asked whether the woman was alone. The caption did not say so. It is
possible, but one cannot tell.

A child describes a picture, and {s}, who stands with {her} back to it, listens. "There is a {pet}
in the {place}." "Then there is an animal in it," says {s}. Right. "And it is {color}." That is only
a guess: the description is silent on it.

At the market {s} asked for {product}. "Sorry, we have none," was the reply, "but you can get it
next door." {o} had told {him} the opposite. Somebody must have been wrong, and it was {o}.

The shepherd had nine sheep, and two ran away. How many did he keep? {s} counted on {her} fingers:
nine minus two is seven. It takes a moment's thought. A child in {town} worked it out sooner than
{she} did.

"If I am in {town}, then I am in {country}," said {s}. "And if you are in {country}, are you in
{town}?" asked {o}. "Not necessarily. There are other towns." An implication goes one way only,
unless somebody proves the other one.

{s} copied a {material} {thing} so well that nobody could tell the copy from the original. "Are they
the same?" "They are equal in size, form and color," said {s}, "but only one of them is old. They
are nearly equivalent."

The manual of the {thing} is a booklet in bold type. "Never open the lid while it is hot," says one
heading, and below it are directions. Most of the commands are given in the imperative. A beginner
reads it twice; {s} reduces it to a handful of steps.

In the town hall {o} put the motion to close the {place}. {s} spoke against it. "The premises of
this motion are wrong," {she} said, "and so nothing follows from it." The debate lasted until
midnight, and a drop of {drink} helped. The minutes mention every assertion.

Somebody maintains that {food} is healthy, and writes a whole book to that effect. Its thesis rests
on one study. "A thesis needs more than that," says {s}. In a discussion on the radio, {o} made a
contribution: "I eat it daily, and I am ninety."

A tourist asked {s} for a quiet place in {town}. "The {place} near the river," said {s}. "There is a
garden, and they serve {drink}." The brochure had promised quiet, too. The tourist's impression was
good, and the visit ended with a song.

{s} works at the counter of a business that sells [lamps|boots|bicycles]. "A service like yours is
seldom found," commented a customer. "May I quote that?" {s} asked. It was printed on a sign,
"Seldom found", and now nobody understands it.

A shop window in {town} showed a scene: a {thing}, a {pet} of {material}, and snow. One might
describe it as ordinary. Yet tourists took photos of it, and a magazine was going to print them.
"Beauty is where people look," said {s}.

Physical work keeps {s} healthy. {She} carries blocks of stone to the site where a new {place} is
being built. "We build on solid ground," the foreman says. He gives the orders in simple words, one
command at a time: "Lift! Hold! Drop!" It works.

"Beware of the dog," says the sign, and {s} is careful. Perhaps there is no dog; a sign proves
nothing. "It was put up long ago," says the neighbor. "A dog did live here in those years." {s}
walks on quietly and thinks about old signs.

"A taxi won't get through," the drivers say. In the old town the streets are narrow. {s}, a visitor,
shared one with {o} as far as the square. "Everything is shared here," said the driver: "the road,
the news, and very often the {food}." Nearest to the square is the {place}.

The tourist's map gave the distance as the crow flies. "The shortest road isn't the nearest way,"
said {s}. They took it anyway, headed for {town}, and repeating the names of the villages as they
passed. At a glance, all of them looked alike.

In spring the sites where {town} is digging become gardens. "Whoever contributes a plant may name
it," said {s}, who organizes the work. {o} contributed a rose and called it after the {pet}. A sign
lets visitors know what is growing there and which publications to read.

The tutor of {s} is teaching interchangeable parts: "This screw fits here, and it fits there." The
{job} frequently changes one for another. "If two parts are interchangeable," {s} repeats, "nothing
becomes different when they are swapped." "Perfectly put," says the tutor.
""")

_HOME = _scenes("""
My roommate, {s}, tried to open the jar with a knife, and I tried warm water. Mine was the clever
method: it worked in the real world. "Consider the materials," I told {him}. "Metal becomes wider
when it is warm." {s} likes to select the wrong tools.

We had two plans for one purpose, and whichever we chose, it would rain. "How do you suggest that we
reach the goal?" asked {s}. "By train," I said. "It reaches {town} in an hour." In everyday life
simple ideas are often the best.

"Life is a puzzle," {s} remarked. "Early in the day nothing matches, and by night each piece has
found its place." {o} had to laugh. Remarks like these are usual in our household, and they need no
reply.

{s} wants to describe {her} room. There is a bed, a desk, and a {thing} in the middle. "Having said
that, I am not sure that you can picture it," {she} adds. "Shall I draw it?" The drawing settles
whatever words leave unclear.

There is a video of the {pet} of {s}. At the beginning it is asleep. Then something happens: the
{thing} falls, and the {pet} keeps running around. "The events are going too fast," says {o}. "Start
it again, please, and stop before it ends."

Before you act, think. {s} had to decide whether to keep the {thing} or to sell it. {She} did feel
sorry for it. "I can't expect to use it again," {she} said sensibly, and sold it to {o}. A sensible
choice, and nothing was lost.

"I continue to believe that it was the {pet}," said {s}. "It was a clever cat and a broken vase,"
{o} replied, "and that's the whole story." It is a believable account of what happened, but nobody
could prove it.

{s} was confused. The key was not where it usually is, and {she} didn't know what to look for. "You
are holding it," said {o}. "Hold on, I am?" It was in {her} left hand, and everything was clear
again.

"Let us play," said {p}. "I describe something, and you try to guess it. It is {color}, and you can
sit on it." "A bench," guessed {s}. "Oh, that was too easy! Now try to describe something yourself."

Hey, guess what happened today! {s} was offered work in {town}. Whether {she} will accept, {she} has
not said so far. I suppose that {she} will, since the pay is good. If {she} accepts, we will visit
{him} there in {month}.

The brother of {s} writes letters to {him} by hand. He begins each of them with the weather,
introduces some new neighbor, and closes with advice. "Take care," it says below his name. {s} keeps
all of them in a {thing}.

Everything in the kitchen of {s} has a label. The labels are in French, as if to help a visitor from
Paris. "{drink}" and "{food}" are not among the French words that {o} knows, and so {s} had to
explain what they mean.

{s} cut out the images of a magazine and put them on the wall. One image shows a {pet}, another
shows a {thing}. "Why that one?" {o} wondered. "It's a moment of real life," said {s}. "Take a
closer look at it."

The roommate of {s} starts each day with a song, and holds a spoon in place of a microphone. "It
lets me wake up perfectly," he says. {s} would omit the last part if {she} could. "To become a
singer you need more than {food} and a spoon," {she} whispers.

"Your understanding of cooking is limited," {s} told {o}. "Consider this tip: add the salt before,
not after. And don't behave as if {food} were a puzzle." {o}'s method was to fill the pot and wait.
"Select one method, then keep to it," suggested {s}.

A robot for the household! {s} was tricked by the seller: the thing only blinks. "At least the plan
was clever," says {o}, and the purpose of the robot has become to scare the {pet}. New ideas are
needed. Its materials, at any rate, are fine: brass and steel.

Tips for the household, from {s}: use a stick to reach high shelves; leave the {thing} in warm
water; never offer a guest cold {food}. "These tips are from everyday life," {she} writes, "and
anyone may add to them. Whoever reaches the fifth tip has earned a break."
""")

_CLASSROOMS = _scenes("""
At the school of {s} there is a new student. She has come from elsewhere and speaks English
fluently. "Welcome," said the teacher to all human beings in the room. "Please introduce yourself:
name, age, and what you like." The class wrote down the replies.

The teacher explained how to classify answers. "A person belongs to one category, a location to
another. 'Human', 'numeric' and 'entity' are types, and so is 'description'." The pupils had to sort
a stack of questions into groups. {s} was the first to be ready.

"An abbreviation is possible where letters stand for words," said {s}. "UN, for example." {o} had a
list of categories and noted "abbreviation" beside the item. A number that someone gives is numeric.
Each human name goes with the human beings, and a town is a location.

{s} is a linguist, and {her} collection is of sentences. "The grammarian's work is like that of a
judge," {she} says. "A native speaker would stumble over some of them, and I mark those as
unacceptable. Grammaticality is a question of form, not of content."

"{s} have a {pet}," wrote {o}. "A native speaker would not put it like that," said the linguist. "It
is '{s} has a {pet}'. The first is unacceptable." A careful reader finds such mistakes in any essay,
and the grammarian's red pen crosses them out.

In the dictionary, {s} looked up the word "[nail|bat|crane]". There was more than one definition.
"Its meanings are quite different," {she} said to {o}. "When a word is used, only one of them is
meant." Beginners use the dictionary across the street in the library.

"My dog ate the proof," said the student. The algebra teacher did not believe it. "Then give the
solution by heart: add three on both sides, divide by two, and the variable is isolated." [The
student could do it|The student could not do it]. In the end the value was an integer.

"Solve for x: 2 times x and 3 is 11," said {o}. {s} solves such things in {her} head. "Two times x
is 8, so x is 4. The two sides are equal." "And if it were a linear equation with y?" "A letter is a
letter: x or y, the output is the same."

The exercises are numbered from one to [nine|twelve], and below the numbers there is room for
answers. {s} skips number [two|four]. {Her} numbering then does not match that of the book. "Be
exact," says the tutor, "even with the calculator. Start over, please."

Comprehension was taught at the advanced level. "Someone read the text to the class; next we talked
about it," {s} wrote. The material was difficult. "What is left unsaid, you have to infer from the
situation." {o} got a good score, {s} a fair one.

"Cloze exercises have gaps," {s} told {o}. "You fill them so that the sentence makes sense, and
nothing sounds odd." Blank number one: "The {job} went to the [blank] to buy {product}." {o} wrote
"market", and the teacher wrote "correct".

{s} had to summarize a chapter. {Her} summary was short: it named the characters and the outcome.
"Plainly and concisely written," said the teacher, "and without quoting anyone." The class synopsis
was longer, so that {o} wrote 'TL;DR' beside it: too long, didn't read.

"When two drawings are equivalent, we say that they have the same area," said the teacher. {s} had a
quick look at both. "Part A is larger than part B," {she} said. "And C?" "C is the smallest." It was
worth [two|three] points, altogether perhaps the easiest item of the paper.

The students are learning what "according to" means. "According to {s}, the {thing} is {color}"
tells us what {s} thinks. It implies nothing about the {thing}. According to {o}, it is
{other_color}. "Judge for yourselves," says the teacher, and opens the box.

{o} wrote a hypothesis on the board: "{s} is in the {place}." "Does the premise entail it?" asked
the teacher. The premise was: "{s} and {p} are in the {place}." "It does," said the class. "It can
be inferred, with no other information." Premise and hypothesis agree.

{o} had another hypothesis: "{s} is alone in the {place}." The premise was: "{s} and {p} are in the
{place}." "Premise and hypothesis contradict each other," said the class. "And 'it is noon'?" "The
premise is silent on that. It is neither entailed nor ruled out."

Someone in the class had three wishes. "If I am allowed to say it, I wish for less homework," said
{s}. "Request denied," remarked the teacher. "Research shows that practice helps. Exercise one is on
page {number}, with steps and hints."

At the exam each candidate sits alone. {s} opens the sheet: "General knowledge, part two." {She}
reads the instructions, marks what is certain, and leaves the hard bits. "To the candidates in the
back," says the examiner, "no copying! Whoever copies fails."

"During the break, the pupil who stood by the door returned my pen," wrote {s}. "Who returned it?"
asked the teacher. "The one who stood by the door, that is, {o}." A long phrase can take the place
of a name, and the antecedent is then to be worked out.

{s} used the wrong letter, and the spelling had to be corrected. "Small letters are lower case,
large letters are capitals," said {o}. "At the beginning of a name there ought to be a capital. It's
the rule of capitalization, and no poet is above it."

The poet {s} shuns capitals, commas and periods. {Her} editor punctuated the poems and restored the
capitals. "Nothing is to be changed!" {she} said. So they were left as they were, and the book
became known for its missing punctuation.

{s} practices dictation with a recording. {She} has transcribed it: every sound, every pause.
Neither dots nor hyphens can be heard in it, so {she} was punctuating by feeling. "And an apostrophe
is silent," says {o}. "Whose idea were apostrophes?"

"Cloze" means closing a gap. For each blank the list of {s} holds several words. {She} writes the
fitting one at the beginning of each line, using a pencil. The fifth sentence was never meant to be
hard, yet everyone stumbled. Only one pupil matches {him} at such exercises.

Comprehension level two: the pupils infer from the context what a word stands for. The remaining
texts are incomplete on purpose. "Fill in what lacks," said {s}, wrongly. "What is lacking,"
corrected the examiner, who accepts no such errors. The grammar has to fit.

The settled rules of punctuation came late. In the beginnings of printing, {s} has read, there were
dots in three heights. English became what it is by copying the best printers. "Capitalization", on
the other hand, is a matter of taste in some countries.

"Set the brackets apart," {s} was told. In the math program one can enter a character string such as
q plus p, and the input is shown exactly as it is typed. Numbering the lines helps. {o} keeps making
the same error, and the program fails.

The lazy student had borrowed the answers. "I have been tricked," {o} complained. "Multiple answers
were copied from mine, and even the wrong ones match." {s} ought to have known that examiners look
closely. Copied mistakes are the best evidence, and no speeches help against it.

{s} classifies birds. Each drawer has a label, and the labels have dates and places on them. "I file
by type, not by size," {she} explains. The groups keep changing with the science. What belongs to
one of the groups today may need a drawer of its own next year.

The teacher wants creative beginnings and natural endings. "You may continue any tale you like," she
says. {s} lacks ideas, so {o} offers one: a {pet} becomes mayor of {town}. It is hardly believable,
very short, and the class loved it. "Creative!" said the teacher.

To collect examples is the first step. {s} sorts sentences by the closeness of their meaning to a
given one. "To compare is to learn," {she} says. "Suggest a better measure, and I'll offer you a
job." {o} summed it up: "'TL;DR' is close to 'in short', and yet it doesn't sound the same."
""")

_OFFICES = _scenes("""
The typist in the office of {s} transcribed a speech for publication. "It has been punctuated and
checked," she said. {s}, who had prepared it, was sure that a line was missing, and it was: one
segment of the recording had been deleted. She typed it again.

The printer of the office is out of ink. It printed a page with only one symbol on it, a large dot.
"Nothing is readable," said {s}. Somebody suggested that they send it back. Now the staff writes
invitations by hand again, in running script.

"Restore the file, please," {s} said to the help desk. "I deleted it by accident." The entry was
stored in a second place, so it was restored within the hour. What {she} had included in it since
then was gone, and had to be added once more.

{s} is editing the manuscript of a well-known writer. "'They told them that they had won.' This may
be misread," {she} warns. "I worry about it. It should be rephrased, or the names repeated." The
writer was worried, too, and replaced two pronouns.

At work, {s} handles mail. {She} reads the name of the sender, puts the letters apart by department,
and sends the rest on. Today the bell rang, and a package arrived; it concerns {o}. "Sender
unknown," {she} noted in the log, next to the date.

The software suggests a reply to each email. "Sounds good!" it suggests, or "Sorry, I can't." {s}
never uses these. "I would rather compose my own," {she} says. "People can tell when there is nobody
behind it." {Her} boss gets along with it well.

The interviewer had prepared questions, and {s} replied to all of them. "Who influenced you?" "My
father." "What comes next?" "I won't tell." When they had talked for an hour, the interviewer quoted
a review and asked {s} to respond. {She} just smiled.

"A fair interview takes time," the interviewer says. {s} is a guest of the show, and her host, {o},
gives {him} time to finish. A question that is taken badly is replaced by the next. Afterwards
nobody remembers the exact words.

At the conference {s} introduced a topic, and {o} responded. "The rules allow one question each,"
said the chair. A journalist had two. She was not allowed to ask the second, but {s} answered it all
the same in the break.

The annotators sit in one room and rate pairs of sentences. "5 means equivalent, 0 means unrelated,"
explains {s}. "'{o} is a {job}' and '{o} works as a {job}' get a 5. Closeness in meaning is what
counts, not whether the same words are shared."

The annotators could not agree on one pair. "'{o} has a {pet}' and '{o} has an animal' are similar,
but not the same," {s} said. "A 3 would be fair." {p} would offer a 4. "Suppose that somebody reads
only the second: what would be missed?" The similarity was set at 3.

"These two lines are unrelated," {s} said: "the upper one is about {food}, the lower is about
{sport}." "Then the rate is 0," replied {o}. It is the lowest of all. A faithful restatement would
have been a 5, and nothing is closer than that.

{s} handed in two drafts of a letter. "(i) is more polite, and (ii) is shorter," said the boss. "Is
(ii) a rewording of (i)?" "Fairly so. The restatement keeps its content, but a date is swapped." So
draft ii was corrected before it left.

The client of {s} wanted to know "who, what, when and how many". {s} doesn't waste words: "{o}, a
{thing}, in {month}, {number}." The client was pleased. An answer may be a phrase, a span of a text,
a sum or just a digit.

The bank checks each form. "A field was empty," wrote {s} to the customer, "and one number was
illegible. Please fill in what is missing." The customer's reply came the next day. {s} checks and
returns [fifty|thirty] forms a day.

The media of {country} reported a strike. "At the factory, nobody works," {s} read, "and one hears
that talks go on." Various sources gave various numbers. The coverage went on for weeks, and whoever
collected all of it had a thick folder.

"Combine the two reports into one," said the editor. {s} put the common ground in the first
paragraph, and per report one line on what was different. Critics' opinions were left aside. It
appeared on page three, and it was fixed within an hour.

A business in {town} looked for someone with experience. The local paper printed the ad. {s} seemed
to qualify: {she} speaks three languages and knows the product. "{Her} view of the market is ours,
too," wrote the owner to a partner.

{s} chairs the debate. "The topic has been announced, so let us stick to it," {she} says. "Who will
speak first?" {o} spoke about the costs. "What follows from that?" "That we should wait," said {o},
"and boil the plan down to what we need."

"It's a matter of logic," said {s}. "From your reasons I can recover the thesis that you have kept
to yourself: {town} has too many visitors." {o} had not said it outright. But one idea was behind
all that had been said, and {s} had named it.

At training, copy editors learn to write headlines. "Which word can fall out without harm?" asks
{s}. "'The', for one." A headline per story is needed, and time is short. {o} solves it by listing
key words, namely the who and the what.

The radio announcer reads the names of the winners. "Their names are listed at the end," {s}
announced. "Join us again tomorrow, when various guests will talk about games and research." The
voice was fluent, as if no paper were needed.

{s} manages a household of nine for a rich family. "Somebody's coat is always lost," {she} says.
{Her} command is law, and {her} orders are brief. "Beds, floors, {food}, in that order!" Giving
orders is one thing, repeating them is another.

A colleague of {s} is learning to type. "Your fingers should rest here," {s} tells her. "Learned
once, it stays for life." The first note that she typed had errors, but the second looked as if it
had been printed in a real print shop.

The contract contains many long sentences. "To whom does 'his heirs' apply?" asked {s}. "The
sentence does contain an answer," replied the lawyer, "if you read all its parts closely." Reading
closely is what {she} is paid for, by the hour.

In the form for new members, {s} had to enter each character into a box. The form was backed with
blue paper. "Normal writing, please, no capitals," it said. {She} filled in {her} name, ticked a
box, and sent it off. The reply was friendly, and used words like "kindly" and "request".

For the year's report, {s} gives all the numbers, and {o} combines them with prose. "The two of us
cover everything," says {s}. Their colleague does the outline. The actual writing takes a weekend,
the editing takes a month, and the cover is designed last, in {color}.

The radio host asked about {her} records. "I have set three," replied {s}, the runner, "and I won't
stop there." In fifteen seconds {she} had to express what the last race meant to {him}. "Joy," {she}
said. "May I use the remaining ten seconds to thank {o}?"

A librarian's suggestion box stores good ideas. "Put the newspapers near the door," somebody wrote.
"Open at seven," suggests another. {s} takes the suggestion seriously, sorts them by issue and
prepares a list. The issues on top are discussed first, and then the director consults {him}.

{s} breaks stones in a quarry and takes classes at night. {She} plans to become a printer. "Classify
the types by size and put them back into their drawers," the master says. After work they drink
{drink} and talk. "I am saying it once," he adds, "the drawers are all alike."

The master of the print shop gives {s} a block of text to set. "Accept no proof with errors," he
says, "and omit nothing." By taking out a line, one changes the whole page. {s} saved the proofs,
handed them over with both hands, and went home.

At the website, {s} handles material that users send in. "It receives [forty|fifty] replies a day,"
{she} says. The numbered list displays them by importance. "I prepare a summary, I boil it down, I
am giving it a title." Then the timeline shows it to everybody.
""")

_OUTINGS = _scenes("""
{s} took a photo of {o} with the {pet} in the background. "Look, it's holding your hat!" {p} said.
The image got a title, "Friends", and was posted on the internet. By the evening it had
[forty|fifty] comments, and "cute" was the tag most used.

"I've looked at the map," said {s}. "The shortest way is through the forest." "It's tricky to find,"
{o} warned, "and the sign is illegible." They chose the road instead. It leads along the river,
beyond the mill, and through two villages.

{s} has been thinking of a hike for months. "I've never been beyond {town}," {she} told {o}. "The
view is said to be superb." They set out early, skipped the museum, and came to the top at noon. "A
lot of hills, and not a soul," {s} wrote.

At the pub in {town} a stranger joined the table of {s}. He was wondering whether the {place} served
{food}. "It serves {drink}, and you may take a seat," said {o}. "Is the food good?" "It suits some,"
replied {s}, and poured.

Ann and Ben are two friends of {s}. Ann says that the {thing} is {color}, and Ben says it isn't.
"You aren't looking at the same one," said {s}. They had quarreled over nothing, and Ann's hat was
lost. "Oh dear," said Ben.

Ben told Ann a secret, and Ann told it to {s}. According to Ann, nobody else was to know it. Ann's
voice sank to a whisper: "There is a {thing} hidden in the {place}." "Who told you?" asked {s}. "I
can't say," said Ann.

{s} and {o} argue about the {job} in the film. "A performance that deserves an award," said {o}.
"Deserve it? He could hardly speak!" {s} answered. Each viewer's view is different; on that, the two
can plainly agree.

"I read a telephone call in the novel three times and still wasn't sure who called whom," {s} said.
"In a novel, a call has to be clear." {o} agrees. "The telephone rang, and {p} answered it. There is
no way to be confused by that."

At the {place}, {s} bought food for the journey, {food} and {other_food}, and something to drink.
The seller packed everything and counted the coins. "It's [six|seven]," she said, "and here is a
stick for the {pet}." "How kind!" {s} said.

Some actions speak louder than words. {s} saw the {thing} fall, took it, and put it back without a
sound. "That passes for politeness," thought {o}. "{s} feels what others need." Feelings seldom need
to be expressed.

{s} would like to join the choir. "What can you sing?" they asked. {She} began, and the judges
listened to the tone. "Clear," was their verdict. The verdicts of later years were less friendly,
but {s} sings anyway, and enjoys every hour.

A customer's opinion counts, in {town} as elsewhere. "We collect what people post about us," said
{s}, who runs a hotel. "They sum it up in stars." Last month the sum of the stars was high, and the
local guide gave the hotel a line of its own.

The display in the station shows the times of trains. "{town}, [ten|eleven] o'clock," it displays.
{s} has to run. At the last moment the doors close behind {him}. "Excerpt from my diary: caught it,"
{she} texts to {o}.

"Our cat is the invention of my brother," joked {s}. "He invented a cat that answers queries." He
had only taught it to touch buttons. "Still, it's matching the right picture to my voice," he said.
Clearing up the joke took a while.

Wise people say that a question well asked is half solved. "Why is the sky {color}?" asked {p}. "Try
to explain it," {s} said to {o}. {o}, who had just learned about light at school, answered in one
sentence. It was a proper answer.

"Give it to me straight," said {s}. "Will the plan work?" {o} had doubts, and listed them: the cost,
the rain, the time. Each doubt was reasonable. In conclusion, {o} gave a single piece of advice:
"Wait until {month}."

{s} keeps a card with a saying on {her} desk: "Choosing is losing." The card of {o} says: "Whoever
asks, learns." "They don't contradict each other," said {p}. "Both may be true, depending on the
situation." {s} liked the thought.

At the fair, a machine said to be a thousand years old answered questions. When it had nothing to
say, it printed CANNOTANSWER on a strip of paper. {s} asked it who would win the game, and out came
CANNOTANSWER. "An honest machine," said {o}.

The old machine in the museum has a lamp for yes, a lamp for no, and a third one labeled
CANNOTANSWER. The third lights up where the stored text has no answer. "What color is the {thing}?"
typed {s}. CANNOTANSWER, said the machine, for nobody had told it.
""")

SCENES = (
    *_SCHOOL,
    *_NEWSPAPER,
    *_DETECTIVES,
    *_MOVIES,
    *_QUIZZES,
    *_LIBRARY,
    *_COMPUTERS,
    *_TRANSLATORS,
    *_MESSAGES,
    *_TOWN,
    *_HOME,
    *_CLASSROOMS,
    *_OFFICES,
    *_OUTINGS,
)
"""All scenes, see the module's docstring."""
